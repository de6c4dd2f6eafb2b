import RedisStore from "./index.js";

export const { RedisStoreError } = RedisStore;
export { RedisStore, RedisStore as default };
