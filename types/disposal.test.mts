// `await using`, which closes the store.
import { RedisStore } from "connect-redis-rs";

{
  await using store = new RedisStore();
  store.prefix = "other:";
}
