// Google's Node client over gRPC: `node node_peer.mjs HOST:PORT [once]`. The protocol is that of src/lib.rs.

import { createInterface } from 'node:readline';
import { performance } from 'node:perf_hooks';
import { createRequire } from 'node:module';

// The packages are installed beside nothing: where, the script that runs this says.
const require = createRequire(`${process.env.PEERS_NODE}/index.js`);
const { JobsClient } = require('@google-cloud/run').v2;
const { grpc } = require('google-gax');

const JOB = 'projects/demo/locations/us-central1/jobs/echo';
const [address, once] = process.argv.slice(2);
const [host, port] = address.split(':');
const client = new JobsClient({ servicePath: host, port: Number(port), sslCreds: grpc.credentials.createInsecure() });
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
