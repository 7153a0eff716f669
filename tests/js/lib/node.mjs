// A real `fetchway serve`, as a child process on ports that the system chose.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const binary = process.env.TEST_NODE_BINARY;

/** Starts a node with these flags besides, and no environment; ends with the test `t`. */
export async function startNode(t, flags = ['--allow-net', '127.0.0.0/8']) {
  if (!binary) throw new Error('TEST_NODE_BINARY is not set: run these tests by `cargo xtask test`');
  const args = ['serve', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--log-format', 'json'];
  const child = spawn(binary, [...args, ...flags], { env: {}, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  const lines = [];
  const listening = new Promise((resolve, reject) => {
    // On both: which one carries the log is not what is tested here.
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line);
        const fields = fieldsOf(line);
        if (fields?.addr) resolve(fields);
      });
    }
    child.on('error', reject);
    exited.then(([code]) => reject(new Error(`the node ended (${code}):\n${lines.join('\n')}`)), reject);
  });
  const { addr, admin } = await listening;
  return { ws: `ws://${addr}`, http: `http://${addr}`, admin: `http://${admin}` };
}

function fieldsOf(line) {
  try {
    return JSON.parse(line).fields;
  } catch {
    return undefined;
  }
}
