"use strict";

// The public shape of the module and the class, and the options that the constructor accepts.

const { EventEmitter, once } = require("node:events");
const session = require("express-session");
const module_ = require("..");
const { RedisStore } = module_;
const { run } = require("./support/run.js");

const opened = [];

function open(options) {
  const store = new RedisStore({ url: "redis://127.0.0.1:1", ...options });
  opened.push(store);
  return store;
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
});

describe("the module", () => {
  test("is the class, and exports it by name and as default", () => {
    expect(typeof module_).toBe("function");
    expect(module_.RedisStore).toBe(module_);
    expect(module_.default).toBe(module_);
  });

  test("can be imported by name and as default", async () => {
    const { stdout } = await run(`
      import byDefault, { RedisStore, RedisStoreError } from "connect-redis-rs";
      import * as all from "connect-redis-rs";
      console.log(
        byDefault === RedisStore,
        all.RedisStore === RedisStore,
        typeof RedisStoreError,
        Object.keys(all).sort().join(),
      );
    `);
    expect(stdout).toBe("true true function RedisStore,RedisStoreError,default\n");
  });
});

describe("called with an express-session, as connect-redis 6 and older", () => {
  test("the module returns the class", () => {
    expect(module_(session)).toBe(RedisStore);
    class Store {}
    const Own = module_({ Store });
    expect(module_({ Store })).toBe(Own);
    const store = new Own({ url: "redis://127.0.0.1:1" });
    opened.push(store);
    expect(store).toBeInstanceOf(Store);
    expect(store).not.toBeInstanceOf(session.Store);
  });

  test("the store has its events, even if the stand-in's Store has none", async () => {
    const Own = module_({ Store: function EmptyStore() {} });
    const store = new Own({ url: "redis://127.0.0.1:1" });
    const errors = [];
    store.on("error", (error) => errors.push(error));
    await expect(store.get("a")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    const ended = once(store, "end");
    await store.close();
    await ended;
    expect(errors).toEqual([]);
  });
});

describe("a store", () => {
  test("is an express-session Store and an EventEmitter", () => {
    const store = open();
    expect(store).toBeInstanceOf(session.Store);
    expect(store).toBeInstanceOf(EventEmitter);
    expect(store.constructor.name).toBe("RedisStore");
  });

  test("has connect-redis's fields, readable and enumerable", () => {
    const serializer = { parse: JSON.parse, stringify: JSON.stringify };
    const ttl = () => 5;
    const options = {
      prefix: "p:",
      scanCount: 7,
      serializer,
      ttl,
      disableTTL: true,
      disableTouch: true,
    };
    const store = open(options);
    expect({ ...store }).toMatchObject({ client: undefined, ...options });
  });

  test("reports its server and its transport", () => {
    const store = open();
    expect(store.status).toBe("connecting");
    expect(store.transport).toBe("native");
  });

  test("shows no password when it is printed", () => {
    const { inspect } = require("node:util");
    const store = open({ url: "redis://user:secret@127.0.0.1:1" });
    expect(inspect(store, { showHidden: true, depth: 9 })).not.toContain("secret");
    expect(JSON.stringify(store)).not.toContain("secret");
  });

  test("without options uses localhost:6379", async () => {
    for (const store of [new RedisStore(), new RedisStore({}), new RedisStore({ url: null })]) {
      opened.push(store);
      expect(store.prefix).toBe("sess:");
    }
  });

  test("can be disposed of", async () => {
    const store = open();
    await store[Symbol.asyncDispose ?? Symbol.for("nodejs.asyncDispose")]();
    expect(store.status).toBe("closed");
  });
});

describe("an option of the wrong type", () => {
  test.each([
    ["prefix", 5, "a string, got 5"],
    ["prefix", {}, "a string, got an object"],
    ["scanCount", "x", 'a positive number, got "x"'],
    ["scanCount", -1, "a positive number, got -1"],
    ["scanCount", 0.5, "a positive number, got 0.5"],
    ["ttl", "soon", 'a number of seconds or a function, got "soon"'],
    ["ttl", {}, "a number of seconds or a function, got an object"],
    ["ttl", new Date(0), "a number of seconds or a function, got a Date"],
    ["disableTTL", "false", 'true or false, got "false"'],
    ["disableTouch", 1, "true or false, got 1"],
    ["resurrect", "yes", 'true or false, got "yes"'],
    ["serializer", {}, "the methods parse and stringify, its parse is undefined"],
    ["serializer", 5, "the methods parse and stringify"],
    ["serializer", { parse() {} }, "its stringify is undefined"],
    ["commandTimeout", 0, "a number of milliseconds from 1 to 2147483647, got 0"],
    ["commandTimeout", "5000", 'got "5000"'],
    ["connectTimeout", Number.POSITIVE_INFINITY, "got Infinity"],
    ["url", 5, "a string or a URL, got 5"],
    ["url", {}, "a string or a URL, got an object"],
    ["cluster", "redis://user:secret@host", "a list with one server or more"],
    ["cluster", [], "a list with one server or more"],
    ["cluster", ["host:port"], 'a url, "host:port" or { host, port }, got "host:port"'],
    ["cluster", ["redis://user:secret@host:x"], "the option cluster[0] cannot be used"],
    ["cluster", [{ host: "a", port: 99999 }], "the option cluster[0].port must be a port"],
    ["cluster", ["redis://a/3"], "a cluster has no database but 0"],
    ["sentinel", "mymaster", "an object { name, nodes }"],
    ["sentinel", { nodes: ["a"] }, "sentinel.name must say what the sentinels call the master"],
    ["sentinel", { name: "m" }, "the option sentinel.nodes must be a list"],
    [
      "cluster",
      [{ host: "a", prot: 7000 }],
      "the option cluster knows no prot; it takes host, port",
    ],
    [
      "sentinel",
      { name: "m", nodes: ["a"], pasword: "secret" },
      "option sentinel knows no pasword",
    ],
    ["sentinel", { name: "m", nodes: [{ hots: "a" }] }, "option sentinel.nodes knows no hots"],
    ["username", 5, "the option username must be a string"],
    ["password", ["secret"], "the option password must be a string"],
    ["database", "3", 'a number from 0, got "3"'],
    ["tls", "yes", "true, false or an object of TLS options"],
    ["tls", { ca: "no PEM" }, "ca holds no certificate in PEM"],
    ["tls", { ca: 5 }, "the option tls.ca must be PEM in a string or a Buffer"],
    ["tls", { cert: "x" }, "cert is given without key"],
    ["tls", { pfx: "secret" }, "the option tls.pfx is not supported"],
    ["tls", { minVersion: "TLSv1" }, 'tls.minVersion must be "TLSv1.2" or "TLSv1.3"'],
    ["onUnavailable", "wait", '"error" or "skip", got "wait"'],
    ["onUnavailable", true, '"error" or "skip", got true'],
    ["commandsQueueMaxLength", 0, "a number from 1, or Infinity, got 0"],
    ["commandsQueueMaxBytes", "1", "a number from 1, or Infinity"],
  ])("%s: %p throws a TypeError that says why", (option, value, said) => {
    let error;
    try {
      const others = ["cluster", "sentinel"].includes(option) ? { url: null } : {};
      open({ ...others, [option]: value });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(TypeError);
    expect(error.code).toBe("ERR_INVALID_ARG_VALUE");
    expect(error.message).toMatch(/^RedisStore: /);
    expect(error.message).toContain(option);
    expect(error.message).toContain(said);
    expect(error.message).not.toContain("secret");
  });

  test.each([
    [{ url: "redis://a", cluster: ["redis://b"] }, "give one of url, cluster and sentinel"],
    [{ url: "rediss://a", tls: false }, "tls is false, but the url is one with TLS"],
    [{ url: "unix:///a", tls: true }, "tls is not spoken over a Unix socket"],
  ])("conflicting options are refused: %j", (options, said) => {
    expect(() => open(options)).toThrow(TypeError);
    expect(() => open(options)).toThrow(said);
  });

  test.each([
    "",
    "localhost:6379",
    "http://user:secret@localhost",
    "redis://user:secret@localhost:99999",
    "redis://user:secret@localhost/x",
    "rediss://user:secret@localhost:x",
    "redis://user:secret@localhost?dv=2",
  ])("the url %p is refused without its password", (url) => {
    expect(() => open({ url })).toThrow(TypeError);
    expect(() => open({ url })).toThrow(/^RedisStore: the option url cannot be used: /);
    expect(() => open({ url })).not.toThrow(/secret/);
  });

  test.each([
    [null],
    [5],
    ["redis://user:secret@localhost"],
    [() => ({ password: "secret" })],
    [Symbol("secret")],
    [[]],
  ])("options that are not an object are refused, and not shown", (options) => {
    expect(() => new RedisStore(options)).toThrow("the options must be an object such as { url }");
    expect(() => new RedisStore(options)).not.toThrow(/secret/);
  });

  test.each(["prefix", "scanCount", "ttl", "commandTimeout", "disableTTL"])(
    "a url in the place of %s is not shown",
    (option) => {
      // A prefix may be any string, so another option must be wrong.
      const options = { [option]: "redis://user:secret@localhost", disableTouch: 5 };
      expect(() => open(options)).toThrow(TypeError);
      expect(() => open(options)).not.toThrow(/secret/);
    },
  );

  test("an error of a getter in the options is thrown", () => {
    const thrown = new RangeError("mine");
    const options = {
      get url() {
        throw thrown;
      },
    };
    expect(() => new RedisStore(options)).toThrow(thrown);
  });

  test("a URL object, and null for any option, are accepted", () => {
    open({ url: new URL("redis://127.0.0.1:1/2") });
    const none = null;
    open({
      prefix: none,
      scanCount: none,
      serializer: none,
      ttl: none,
      disableTTL: none,
      disableTouch: none,
      commandTimeout: none,
      connectTimeout: none,
      resurrect: none,
    });
  });
});

describe("an unknown option", () => {
  function warnings(options) {
    const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    open(options);
    const seen = warn.mock.calls.map(([message]) => message);
    warn.mockRestore();
    return seen;
  }

  test("that an object only inherits gets no warning", () => {
    expect(warnings(Object.create({ inherited: 1 }))).toEqual([]);
  });

  test("that is known gets no warning", () => {
    expect(warnings({ ttl: 5, prefix: "a", resurrect: true })).toEqual([]);
  });
});
