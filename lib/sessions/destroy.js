"use strict";

const { isHandle } = require("../hashed-ids.js");
const { fieldsOf, kState, use } = require("../store-backend.js");

/**
 * Destroys a session by its id, as a scan or the index has it. With `hashIds: true` a scan also finds keys
 * from before, which hold the sid as it is. `store.destroy` looks only at the key with the hash, so both
 * are deleted here.
 * @param {import("../store-backend.js").Store & import("../types.js").Store} store
 * @param {string} id
 */
async function destroyFound(store, id) {
  const { hasHandles, moves } = store[kState];
  if (hasHandles && !moves && !isHandle(id)) {
    const plain = { ...fieldsOf(store), hasHandles: false };
    await use(store, "destroy", ({ native }) => native.destroy(id), plain);
  }
  await store.destroy(id);
}

module.exports = { destroyFound };
