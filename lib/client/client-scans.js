"use strict";

// The commands of a scan over the keyspace (src/io/scan/), carried out by an app's client.
//
// The native side holds this, and goes on with a scan when the app has let go of its store: so
// nothing here may hold the store or its native object, or neither could ever go.

/**
 * Scans that are kept for their next step. Of pages that nobody has gone on from, the oldest go: their next
 * page is then the first one.
 */
const MAX_SCANS = 64;

class ClientScans {
  /**
   * @param {import("./client-commands.js").Commands} commands
   * @param {InstanceType<typeof import("./client-calls.js").Calls>} calls
   */
  constructor(commands, calls) {
    this.commands = commands;
    this.calls = calls;
    /**
     * Iterators over the keys, by the cursor that stands for them.
     * @type {Map<string, AsyncIterator<string[]>>}
     */
    this.scans = new Map();
    this.cursors = 0;
  }

  /**
   * Carries out a scan's commands; `answered(id, error, replies)` is called when that is done.
   * @param {number} id
   * @param {string} name the store's method, for messages
   * @param {string[][]} list each command's name and arguments
   * @param {(id: number, error: any, replies: unknown) => void} answered
   */
  execute(id, name, list, answered) {
    const { calls } = this;
    const asked = calls.wait(name, (resolve, reject) => {
      /** @type {(error: any) => void} */
      const failed = (error) => reject(calls.clientError(name, "", error));
      Promise.all(list.map(async (command) => this.carryOut(command))).then(resolve, failed);
    });
    asked.then(
      (replies) => answered(id, undefined, replies),
      (error) => answered(id, error, undefined),
    );
  }

  /** @param {string[]} command */
  carryOut([name = "", ...args]) {
    const { commands } = this;
    if (name === "SCAN") return this.scan(args);
    if (name === "GET") return commands.get(args[0]);
    // As bytes if they can be had: what a serializer has made need not be text.
    if (name === "MGET") return (commands.mgetBytes ?? commands.mget)(args);
    if (name === "UNLINK") return commands.unlink(args);
    if (name === "DEL") return Promise.all(args.map((key) => commands.del(key)));
    // No right to PTTL, or no such method: the session is read as it is stored.
    return this.pttl(args[0]).catch(() => null);
  }

  /** @param {string} key */
  async pttl(key) {
    return this.commands.pttl(key);
  }

  /**
   * One step of SCAN: the client's cursors, its masters and iterators are behind one cursor.
   * @param {string[]} args
   */
  async scan([cursor, , pattern, , count]) {
    const keys =
      this.scans.get(cursor) ?? this.commands.scan(pattern, Number(count))[Symbol.asyncIterator]();
    this.scans.delete(cursor);
    const { done, value } = await keys.next();
    if (done) return ["0", []];
    this.cursors += 1;
    this.scans.set(`${this.cursors}`, keys);
    for (const oldest of this.scans.keys()) {
      if (this.scans.size <= MAX_SCANS) break;
      this.scans.delete(oldest);
    }
    return [`${this.cursors}`, value];
  }
}

module.exports = { ClientScans };
