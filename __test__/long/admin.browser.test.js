"use strict";

// The admin page in a browser, as an operator uses it.

const http = require("node:http");
const express = require("express");
const { RedisStore } = require("connect-redis-rs");
const { admin } = require("connect-redis-rs/admin");
const { startRedisServer, waitUntil } = require("../../scripts/redis-server.js");
const { needingBrowser, openBrowser } = require("../support/browser.js");
const { openInspector } = require("../support/inspector.js");

const SID = "planted-sid-0123456789";

let server;
let inspector;
let browser;
const closing = [];

needingBrowser(describe)("the admin page", () => {
  beforeAll(async () => {
    server = await startRedisServer();
    inspector = await openInspector(server);
    browser = await openBrowser();
  });

  afterAll(async () => {
    await browser?.close();
    await inspector?.close();
    await server?.stop();
  });

  beforeEach(() => inspector.flushDb());

  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  function listen(handler) {
    const listening = http.createServer(handler);
    closing.push(() => {
      listening.closeAllConnections();
      return new Promise((resolve) => listening.close(resolve));
    });
    return new Promise((resolve) => {
      listening.listen(0, "127.0.0.1", () => resolve(listening.address().port));
    });
  }

  /** An app with the page, open in a browser that complains of whatever goes wrong in it. */
  async function visit({ options, url = server.url, context = {} } = {}) {
    const store = new RedisStore({ url, user: "user", onUnavailable: "error" });
    closing.push(() => store.close());
    const app = express();
    app.use("/sessions", admin(store, { authorize: () => true, write: true, ...options }));
    const port = await listen(app);
    const address = `http://localhost:${port}/sessions`;
    const opened = await browser.newContext(context);
    closing.push(() => opened.close());
    const page = await opened.newPage();
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    return { store, page, address, complaints };
  }

  function fill(store, count, user = () => "Ada") {
    const expires = new Date(Date.now() + 3_600_000);
    const cookie = { originalMaxAge: 3_600_000, expires };
    const session = (n) => ({ user: user(n), basket: ["book", n], secret: "hidden", cookie });
    return Promise.all(
      Array.from({ length: count }, (_, n) => store.set(`${SID}-${n}`, session(n))),
    );
  }

  const rows = (page) => page.locator("tbody tr");

  test("lists the sessions, counts them, and tells what goes on", async () => {
    const { store, page, address, complaints } = await visit({ options: { show: ["user"] } });
    await fill(store, 20);
    await page.goto(address);
    expect(await rows(page).count()).toBe(20);
    await page.getByText("20 sessions").waitFor();
    await page.getByText("connection ready").waitFor();
    const text = await page.content();
    expect(text).toContain("Ada");
    for (const hidden of [SID, "hidden", "book"]) expect(text).not.toContain(hidden);
    await rows(page).first().getByRole("link").click();
    await page.getByRole("heading", { name: /^Session \w{24}$/ }).waitFor();
    expect(await page.content()).not.toContain(SID);
    await page.getByRole("link", { name: "Back to the list" }).click();
    await page.getByText("20 sessions").waitFor();
    expect(complaints).toEqual([]);
  });

  test("destroys a session after a question, by keyboard alone", async () => {
    const { store, page, address, complaints } = await visit();
    await fill(store, 3);
    await page.goto(address);
    const button = rows(page)
      .first()
      .getByRole("button", { name: /^Destroy session/ });
    for (let presses = 0; !(await button.evaluate((one) => one === document.activeElement)); ) {
      expect(presses).toBeLessThan(20);
      presses += 1;
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    expect(await store.length()).toBe(3);
    expect(await button.evaluate((one) => one === document.activeElement)).toBe(true);
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText("1 session was destroyed.").waitFor();
    expect(await store.length()).toBe(2);
    expect(await rows(page).count()).toBe(2);
    expect(complaints).toEqual([]);
  });

  test("searches by user, and destroys all sessions of one", async () => {
    const { store, page, address, complaints } = await visit();
    await fill(store, 12, (n) => (n < 5 ? "Ada" : "Grace"));
    await page.goto(address);
    await page.getByLabel("User").fill("Ada");
    await page.getByRole("button", { name: "Search" }).click();
    await page.getByRole("button", { name: "Destroy all of Ada" }).waitFor();
    expect(await rows(page).count()).toBe(5);
    await page.getByRole("button", { name: "Destroy all of Ada" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Destroy" }).click();
    await page.getByText("5 sessions were destroyed.").waitFor();
    expect(await rows(page).count()).toBe(0);
    expect(await store.length()).toBe(7);
    expect(complaints).toEqual([]);
  });

  test("goes through 100,000 sessions page by page", async () => {
    const { page, address } = await visit();
    for (let n = 0; n < 100; n += 1) {
      const pairs = Array.from({ length: 1000 }, (_, m) => [`sess:${n}-${m}`, '{"cookie":{}}']);
      await inspector.mSet(pairs);
    }
    await page.goto(address);
    await page.getByText("100,000 sessions").waitFor();
    const seen = new Set();
    for (let n = 0; n < 20; n += 1) {
      const handles = await rows(page).evaluateAll((all) => all.map((row) => row.dataset.handle));
      for (const handle of handles) seen.add(handle);
      await page.getByRole("link", { name: "Next page" }).click();
      await page.waitForLoadState();
    }
    expect(seen.size).toBeGreaterThan(20 * 30);
    const row = rows(page).first();
    await row.getByRole("button").click();
    await page.getByRole("dialog").getByRole("button", { name: "Destroy" }).click();
    await page.getByText("1 session was destroyed.").waitFor();
    expect(await inspector.dbSize()).toBe(99_999);
  });

  test("shows nothing to who may not see it, and no button to who may not write", async () => {
    const closed = await visit({ options: { authorize: () => false } });
    await fill(closed.store, 2);
    const answer = await closed.page.goto(closed.address);
    expect(answer.status()).toBe(403);
    expect(await rows(closed.page).count()).toBe(0);
    const { page, address } = await visit({ options: { write: false } });
    await page.goto(address);
    expect(await rows(page).count()).toBe(2);
    expect(await page.getByRole("button", { name: /Destroy/ }).count()).toBe(0);
  });

  test("takes nothing from another site, neither a form nor a script", async () => {
    const { store, page, address } = await visit();
    await fill(store, 2);
    await page.goto(address);
    const handle = await rows(page).first().getAttribute("data-handle");
    const evil = await listen((_req, res) => {
      res.setHeader("content-type", "text/html");
      res.end(`<form method="post" enctype="text/plain" action="${address}/destroy">
        <input name='{"handle":"${handle}","x":"' value='"}'><button>go</button></form>
        <iframe src="${address}"></iframe>`);
    });
    await page.goto(`http://127.0.0.1:${evil}/`);
    const outcome = await page.evaluate(
      ([url, own]) =>
        fetch(`${url}/destroy`, {
          method: "POST",
          credentials: "include",
          headers: { "content-type": "application/json", "x-connect-redis-rs": "admin" },
          body: JSON.stringify({ handle: own }),
        }).then(
          () => "sent",
          () => "refused by the browser",
        ),
      [address, handle],
    );
    expect(outcome).toBe("refused by the browser");
    const frame = page.frames().find((one) => one !== page.mainFrame());
    expect(await frame.locator("tbody tr").count()).toBe(0);
    await page.getByRole("button", { name: "go" }).click();
    await page.getByText("You may not do this").waitFor();
    expect(await store.length()).toBe(2);
  });

  test("says that Redis is away, and shows the sessions when it is back", async () => {
    const own = await startRedisServer();
    closing.push(() => own.stop());
    const { store, page, address } = await visit({ url: own.url });
    await fill(store, 2);
    await page.goto(address);
    await own.kill();
    await rows(page).first().getByRole("button").click();
    await page.getByRole("dialog").getByRole("button", { name: "Destroy" }).click();
    await page
      .getByText(/destroy|idsPage|page: /)
      .filter({ hasText: "Redis" })
      .first()
      .waitFor();
    await waitUntil("the store knows", () =>
      store.ping().then(
        () => false,
        () => true,
      ),
    );
    await page.goto(address);
    await page.getByRole("alert").getByText("Redis is away").waitFor();
    await own.restart();
    // The page loads itself again.
    await page.getByText("There is no session here.").waitFor({ timeout: 20_000 });
  });

  test("fits a phone, in light and dark, with enough contrast for both", async () => {
    for (const colorScheme of ["light", "dark"]) {
      const context = { viewport: { width: 360, height: 740 }, colorScheme };
      const { store, page, address } = await visit({ context });
      await fill(store, 5);
      await page.goto(address);
      const { width, colors } = await page.evaluate(() => {
        const style = getComputedStyle(document.body);
        return {
          width: document.documentElement.scrollWidth,
          colors: [style.color, style.backgroundColor],
        };
      });
      expect(width).toBeLessThanOrEqual(360);
      const [ink, paper] = colors.map((color) => Number(/\d+/.exec(color)[0]));
      expect(colorScheme === "dark" ? ink - paper : paper - ink).toBeGreaterThan(150);
      const sizes = await page
        .getByRole("button")
        .evaluateAll((all) =>
          all.filter((one) => one.offsetParent).map((one) => one.getBoundingClientRect().height),
        );
      for (const height of sizes) expect(height).toBeGreaterThanOrEqual(40);
    }
  });
});
