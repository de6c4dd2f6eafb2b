"use strict";

// The addon is found and loaded, or the error says why not and what to do. npm run check-package
// tests the same with installed packages; these tests need no packages.

const { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { isCutOff, isForMusl } = require("../lib/addon/elf.js");
const { loadError } = require("../lib/addon/load-error.js");
const { PLATFORMS, addonFile, findPlatform } = require("../lib/addon/platform.js");
const { start } = require("./support/run.js");

const ROOT = path.join(__dirname, "..");

let folder;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-addon-"));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function file(name, content) {
  const full = path.join(folder, name);
  writeFileSync(full, content);
  return full;
}

/** Returns the store's error for a message of the system's loader. */
function errorOf(said, { platform = "linux-x64-gnu", code = "ERR_DLOPEN_FAILED" } = {}) {
  const error = Object.assign(new Error(said), { code });
  const failures = [
    { file: `/app/${addonFile(platform)}` },
    { name: `connect-redis-rs-${platform}`, error },
  ];
  return loadError({ platform, version: "1.2.3", folder: ROOT, failures });
}

describe("the platform", () => {
  const musl = "\x7fELF …/lib/ld-musl-aarch64.so.1\0…";
  const glibc = "\x7fELF …/lib64/ld-linux-x86-64.so.2\0…";

  test.each([
    ["linux", "arm64", musl, "linux-arm64-musl"],
    ["linux", "x64", glibc, "linux-x64-gnu"],
    ["linux", "riscv64", "", "linux-riscv64-gnu"],
    ["darwin", "arm64", "", "darwin-arm64"],
    ["win32", "x64", "", "win32-x64-msvc"],
    ["freebsd", "x64", "", "freebsd-x64"],
  ])("of %s on %s is known", (platform, arch, program, expected) => {
    const execPath = file("node", program);
    expect(findPlatform({ platform, arch, execPath })).toBe(expected);
  });

  test("of a Node whose file cannot be read is taken for one with glibc", () => {
    expect(isForMusl(path.join(folder, "none"))).toBe(false);
  });

  test("of this Node has its addon here", () => {
    expect(readdirSync(ROOT)).toContain(addonFile(findPlatform()));
  });
});

test("a truncated addon is recognised as damaged, or fails to load", () => {
  const whole = readFileSync(path.join(ROOT, addonFile(findPlatform())));
  expect(isCutOff(file("whole.node", whole))).toBe(false);
  for (const length of [64, 1000, whole.length >> 1, whole.length - 1]) {
    expect(isCutOff(file("cut.node", whole.subarray(0, length)))).toBe(true);
  }
  // Too short to contain its length: the system's loader refuses it.
  for (const content of ["", "\x7fELF", "no library"]) {
    const cut = file("short.node", content);
    expect(() => process.dlopen({ exports: {} }, cut)).toThrow();
  }
});

describe("the error", () => {
  // Messages of the loaders of glibc, musl, macOS and Windows.
  test.each([
    [
      "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by /app/a.node)",
      "the glibc of this system is older",
    ],
    [
      "Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by /app/a.node)",
      "the file is for the other libc",
    ],
    [
      "Error relocating /app/a.node: _Unwind_Resume: symbol not found",
      "the file is for the other libc",
    ],
    ["/lib/x86_64-linux-gnu/libc.so: invalid ELF header", "the file is for the other libc"],
    [
      "libc.musl-x86_64.so.1: cannot open shared object file: No such file or directory",
      "the file is for the other libc",
    ],
    [
      "/app/a.node: cannot open shared object file: No such file or directory",
      "the file is for another system or processor",
    ],
    [
      "dlopen(/app/a.node, 0x0001): tried: '/app/a.node' (mach-o file, but is an incompatible architecture (have 'x86_64', need 'arm64'))",
      "the file is for another system or processor",
    ],
    [
      "\\\\?\\C:\\app\\a.node is not a valid Win32 application.",
      "the file is for another system or processor",
    ],
    ["/app/a.node: file too short", "the file is damaged"],
    ["/app/a.node: invalid ELF header", "the file is damaged"],
    ["/app/a.node: failed to map segment from shared object", "nothing may be run from where"],
  ])("of %j says the cause", (said, meaning) => {
    const { message } = errorOf(said);
    expect(message).toContain(`: ${said}\n    ${meaning}`);
  });

  test("says the platform, where the addon was looked for, and the ways out", () => {
    const error = errorOf("something new\nand more of it");
    expect(error.code).toBe("ERR_CONNECT_REDIS_RS_ADDON");
    expect(error.cause.message).toBe("something new\nand more of it");
    expect(error.message.split("\n")).toEqual([
      "connect-redis-rs 1.2.3: the native addon for linux-x64-gnu cannot be loaded.",
      "Looked for",
      "  - /app/connect-redis-rs.linux-x64-gnu.node: no such file",
      `  - the package connect-redis-rs-linux-x64-gnu, from ${ROOT}: something new`,
      "What to do",
      `  1. Use a platform that has a package: ${PLATFORMS.join(", ")}.`,
      "     linux-x64-gnu is one of them.",
      "  2. Build the addon here, with Rust installed: npx --no connect-redis-rs-build",
      expect.stringMatching(/^ {2}3\. Report it, with this text: https:\/\/\S+\/issues$/),
    ]);
  });

  test("for a platform that has no package says so", () => {
    const failures = [{ file: "/app/a.node" }];
    const search = { platform: "freebsd-x64", version: "1.2.3", folder: ROOT, failures };
    const error = loadError(search);
    expect(error.message).toContain("freebsd-x64 is none of them.");
    expect(error).not.toHaveProperty("cause");
  });

  test("for a missing package says why it may be missing", () => {
    const absent = { code: "MODULE_NOT_FOUND" };
    const { message } = errorOf("Cannot find module", absent);
    expect(message).toContain("not found\n    optional dependencies were left out");
  });

  test("of a Node with --no-addons says how to allow addons", async () => {
    const { code, stderr } = await start(["--no-addons", "index.js"]);
    expect(code).toBe(1);
    expect(stderr).toContain("ERR_CONNECT_REDIS_RS_ADDON");
    expect(stderr).toContain("leave out --no-addons");
  });

  test("of the file that CONNECT_REDIS_RS_ADDON names is shown, not another's", async () => {
    const given = path.join(folder, "none.node");
    const { code, stderr } = await start(["index.js"], { CONNECT_REDIS_RS_ADDON: given });
    expect(code).toBe(1);
    expect(stderr).toContain(`${given}: no such file`);
    expect(stderr).not.toContain(path.join(ROOT, addonFile(findPlatform())));
  });
});
