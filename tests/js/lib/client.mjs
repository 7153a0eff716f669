// A client of the JSON messages, written from their shapes alone: no library of fetchway's.

import { EventEmitter, once } from 'node:events';

import WebSocket from 'ws';

/** Connects, offering these subprotocols; the connection ends with the test `t`. */
export async function connect(t, url, protocols = []) {
  const socket = new WebSocket(url, protocols, { maxPayload: 64 << 20 });
  const client = new Client(socket);
  t.after(() => socket.terminate());
  await once(socket, 'open');
  return client;
}

class Client extends EventEmitter {
  #answers = [];
  #closed;

  constructor(socket) {
    super();
    this.socket = socket;
    socket.on('message', (data, binary) => {
      if (binary) throw new Error('answers are text messages');
      this.#answers.push(JSON.parse(data));
      this.emit('answer');
    });
    socket.on('close', (code, reason) => {
      this.#closed = new Error(`the relay closed the connection: ${code} ${reason}`);
      this.emit('answer');
    });
  }

  /** Sends an object as JSON, or a string as it is. */
  send(message) {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  /** The next answer, whichever request it is to. */
  async next() {
    while (this.#answers.length === 0) {
      if (this.#closed) throw this.#closed;
      await once(this, 'answer');
    }
    return this.#answers.shift();
  }

  /** Sends one request and takes its answer; nothing else may be in flight. */
  async fetch(message) {
    this.send(message);
    return this.next();
  }
}
