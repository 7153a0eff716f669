// A JSON client works unchanged: every message shape, against a real node.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { connect } from './lib/client.mjs';
import { startNode } from './lib/node.mjs';
import { refusingUrl, startOrigin } from './lib/origin.mjs';

/** What every answer has, whatever it says. */
function assertShape(answer) {
  assert.equal(typeof answer.status, 'number');
  assert.equal(typeof answer.body, 'string');
  for (const [name, value] of Object.entries(answer.headers)) {
    assert.equal(name, name.toLowerCase());
    assert.equal(typeof value, 'string');
  }
}

/** `timing` in milliseconds since the epoch. */
function assertTiming({ timing }) {
  const { start, end, duration } = timing;
  assert.ok(start > 1.6e12 && end >= start, `from ${start} to ${end}`);
  assert.ok(Math.abs(end - start - duration) <= 1, `${duration} ms from ${start} to ${end}`);
}

/** A fetch that failed, by the name of its error. */
function assertFailed(answer, id, errorCode) {
  assertShape(answer);
  const { status, headers, body } = answer;
  assert.deepEqual({ id: answer.id, status, headers, body }, { id, status: 0, headers: {}, body: '' });
  assert.ok(answer.error.length > 0, 'a message for people');
  assert.equal(answer.errorCode, errorCode);
}

describe('a JSON client', () => {
  let node;
  let origin;
  let client;

  before(async (t) => {
    // Outside of a test (before Node 22 has `after` on its argument): kept for the whole suite.
    const suite = t?.after ? t : { after: (end) => cleanUp.push(end) };
    node = await startNode(suite);
    origin = await startOrigin(suite);
    client = await connect(suite, node.ws);
  });

  test('fetches', async () => {
    const answer = await client.fetch({ id: 'one', url: `${origin.url}/hello` });
    assertShape(answer);
    assertTiming(answer);
    assert.equal(answer.id, 'one');
    assert.equal(answer.status, 200);
    assert.equal(answer.body, 'hello, fetchway');
    assert.equal(answer.headers['x-mixed-case'], 'yes');
    assert.equal(answer.url, `${origin.url}/hello`);
    assert.ok(!('error' in answer) && !('errorCode' in answer));
  });
});
