// Google's Node client: `node node_peer.mjs grpc|rest HOST:PORT [once]`. The protocol is that of src/lib.rs.

import { createInterface } from 'node:readline';
import { performance } from 'node:perf_hooks';
import { createRequire } from 'node:module';

// The packages are installed beside nothing: where, the script that runs this says.
const require = createRequire(`${process.env.PEERS_NODE}/index.js`);
const { JobsClient } = require('@google-cloud/run').v2;
const { grpc } = require('google-gax');
const { OAuth2Client } = require('google-auth-library');

const JOB = 'projects/demo/locations/us-central1/jobs/echo';
const [transport, address, once] = process.argv.slice(2);
const [host, port] = address.split(':');

// Over REST it does not go without a token, at which the server does not look.
const authClient = new OAuth2Client();
authClient.setCredentials({ access_token: 'none' });
const options = {
  grpc: { sslCreds: grpc.credentials.createInsecure() },
  rest: { fallback: true, protocol: 'http', authClient },
}[transport];
const client = new JobsClient({ servicePath: host, port: Number(port), ...options });
const overrides = { containerOverrides: [{ args: ['hello'] }] };

const start = async () => (await client.runJob({ name: JOB, overrides }))[0].name;

async function round(width, milliseconds) {
  const latencies = [];
  let failed = 0;
  const [began, processor] = [performance.now(), process.cpuUsage()];
  const call = async () => {
    while (performance.now() - began < milliseconds) {
      const begun = performance.now();
      try {
        await client.operationsClient.getOperation({ name: await start() });
        latencies.push((performance.now() - begun) * 1e3);
      } catch (error) {
        if (failed++ === 0) console.error(error.message);
      }
    }
  };
  await Promise.all(Array.from({ length: width }, call));
  const used = process.cpuUsage(processor);
  return { latencies_us: latencies, failed, seconds: (performance.now() - began) / 1e3, cpu_us: used.user + used.system };
}

if (once) {
  await start();
  process.exit(0);
}
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await round(...line.split(' ').map(Number))));
}
