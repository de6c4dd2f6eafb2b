"use strict";

// A process that writes to sessions at random, without a near cache, and says when Redis had acknowledged
// what: `node near-cache-writer.js <options> <sids>`, both as JSON.

const { setTimeout: wait } = require("node:timers/promises");
const { RedisStore } = require("../..");
const { writeAtRandom } = require("./near-cache-model.js");

async function main() {
  const [options, sids] = process.argv.slice(2).map((text) => JSON.parse(text));
  const store = new RedisStore(options);
  let isDone = false;
  process.once("message", () => {
    isDone = true;
  });
  await Promise.all(
    sids.map(async (sid) => {
      for await (const written of writeAtRandom(store, sid)) {
        process.send(written);
        if (isDone) break;
        await wait(Math.random() * 20);
      }
    }),
  );
  await store.close();
  process.disconnect();
}

main();
