// Google's Node.js client, unchanged but for the way: plaintext to the emulator at RUN_EMULATOR_HOST, no credentials. Every
// test runs over gRPC and over the client's REST fallback.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';

const require = createRequire(import.meta.url);
const { protos, v2 } = require('@google-cloud/run');
const { State, ExecutionReason } = protos.google.cloud.run.v2.Condition;
// Those that the client itself depends on.
const fromClient = createRequire(require.resolve('@google-cloud/run'));
const { grpc } = fromClient('google-gax');
const { PassThroughClient } = createRequire(fromClient.resolve('google-gax'))('google-auth-library');

const [host, port] = process.env.RUN_EMULATOR_HOST.split(':');
const location = 'projects/demo/locations/us-central1';
const sample = id => `${location}/jobs/${id}`;
const args = (...words) => ({ containerOverrides: [{ args: words }] });
const completed = execution => execution.conditions.find(condition => condition.type === 'Completed');
const ABORTED = 10, UNIMPLEMENTED = 12;
// Over REST the client's errors have the HTTP status.
const NOT_FOUND = { gRPC: 5, REST: 404 };

const everyWay = { apiEndpoint: host, port: Number(port), authClient: new PassThroughClient() };
const ways = {
  gRPC: { ...everyWay, sslCreds: grpc.credentials.createInsecure() },
  REST: { ...everyWay, protocol: 'http', fallback: true },
};

for (const [way, options] of Object.entries(ways)) {
  describe(way, () => {
    let jobs, executions, tasks;
    const run = async (id, overrides) => (await jobs.runJob({ name: sample(id), overrides }))[0];

    before(() => {
      jobs = new v2.JobsClient(options);
      executions = new v2.ExecutionsClient(options);
      tasks = new v2.TasksClient(options);
    });
    after(() => Promise.all([jobs, executions, tasks].map(client => client.close())));

    test('a run with every override succeeds, and its promise resolves to the execution', async () => {
      const variables = [{ name: 'MODE', value: 'full' }];
      const operation = await run('echo', {
        containerOverrides: [{ args: ['hello', 'node'], env: variables }], taskCount: 2, timeout: { seconds: 60 },
      });
      assert.match(operation.metadata.name, /\/jobs\/echo\/executions\/echo-[a-z0-9]{5}$/);
      const [execution] = await operation.promise();
      assert.equal(execution.name, operation.metadata.name);
      assert.deepEqual([execution.taskCount, execution.succeededCount], [2, 2]);
      assert.deepEqual(execution.template.containers[0].args, ['hello', 'node']);
      assert.deepEqual(execution.template.containers[0].env.map(({ name, value }) => ({ name, value })), variables);
      assert.equal(Number(execution.template.timeout.seconds), 60);
      assert.equal(completed(execution).state, State.CONDITION_SUCCEEDED);
    });

    test('an operation is polled until it is done', async () => {
      const operation = await run('echo', args('polled'));
      while (!operation.done) await operation.getOperation();
      assert.equal(operation.result.name, operation.metadata.name);
      // A call of the client's that has no routing header over gRPC, which the service answers so as well
      // (googleapis/google-cloud-node#7706).
      const polled = jobs.checkRunJobProgress(operation.name);
      if (way === 'REST') assert.equal((await polled).result.name, operation.metadata.name);
      else await assert.rejects(polled, { code: UNIMPLEMENTED });
    });

    test('an execution and its tasks are read and listed', async () => {
      const [ended] = await (await run('echo', { taskCount: 3 })).promise();
      const [read] = await executions.getExecution({ name: ended.name });
      assert.deepEqual([read.name, read.uid, read.etag, read.succeededCount], [ended.name, ended.uid, ended.etag, 3]);
      assert.equal(completed(read).state, 'CONDITION_SUCCEEDED');
      const [newest] = await executions.listExecutions({ parent: sample('echo'), pageSize: 1 }, { autoPaginate: false });
      assert.deepEqual(newest.map(execution => execution.name), [ended.name]);
      // The client asks for page after page.
      const [listed] = await tasks.listTasks({ parent: ended.name, pageSize: 2 });
      assert.deepEqual(listed.map(task => task.index), [0, 1, 2]);
      const [task] = await tasks.getTask({ name: listed[1].name });
      assert.deepEqual([task.index, task.lastAttemptResult.exitCode], [1, 0]);
    });

    test('a job is created, read, changed, listed and deleted', async () => {
      const jobId = `node-${way.toLowerCase()}`, name = sample(jobId);
      const container = { image: 'us-docker.pkg.dev/runjob/samples/echo' };
      const job = { template: { template: { containers: [container] } } };
      const [creation] = await jobs.createJob({ parent: location, job, jobId });
      const [created] = await creation.promise();
      assert.deepEqual([created.name, Number(created.generation)], [name, 1]);
      const [read] = await jobs.getJob({ name });
      const [update] = await jobs.updateJob({ job: { ...read, labels: { team: 'a' } } });
      assert.deepEqual((await update.promise())[0].labels, { team: 'a' });
      const [listed] = await jobs.listJobs({ parent: location });
      assert.ok(listed.some(job => job.name === name));
      const [deletion] = await jobs.deleteJob({ name });
      await deletion.promise();
      await assert.rejects(jobs.getJob({ name }), { code: NOT_FOUND[way] });
    });

    test('a run that is cancelled ends without an error', async () => {
      const operation = await run('sleep', args('60'));
      const [cancellation] = await executions.cancelExecution({ name: operation.metadata.name });
      await cancellation.promise();
      const [execution] = await operation.promise();
      assert.equal(execution.cancelledCount, 1);
      assert.equal(completed(execution).executionReason, ExecutionReason.CANCELLED);
    });

    test('a run that fails rejects with what went wrong', async () => {
      const operation = await run('fail', args('3'));
      await assert.rejects(operation.promise(), { code: ABORTED, message: /task0 failed with exit code: 3/ });
    });

    test('a job that does not exist is not found', async () => {
      await assert.rejects(jobs.runJob({ name: sample('missing') }), { code: NOT_FOUND[way], message: /Resource 'missing' of kind 'JOB' in region 'us-central1'/ });
    });
  });
}
