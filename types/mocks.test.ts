// A store whose methods a test of an app puts mocks in place of, as with connect-redis.
import { jest } from "@jest/globals";
import { RedisStore } from "connect-redis-rs";
import { vi } from "vitest";

const store = new RedisStore();
jest.spyOn(store, "get").mockResolvedValue({ user: "Ada" });
jest.spyOn(store, "get").mockImplementation(async () => null);
jest.spyOn(store, "length").mockResolvedValue(5);
vi.spyOn(store, "get").mockResolvedValue({ user: "Ada" });
vi.spyOn(store, "destroy").mockResolvedValue(null);
vi.mocked(store.get).mockResolvedValue(null);

// The mocks leave what a call is known to give as it was.
const found = await store.get("sid");
// @ts-expect-error: it may be null
found.cookie;
