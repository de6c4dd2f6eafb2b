"use strict";

// express-openid-connect with its sessions in a store: it stores its own records under its own ids, and
// turns the store's methods into promises after a look at their source.

const assert = require("node:assert/strict");
const express = require("express");
const { auth, requiresAuth } = require("express-openid-connect");
const jose = require("jose");
const { assertExpiry, browser, serve } = require("../kit.js");

const ISSUER = "https://issuer.invalid";
const CLIENT_ID = "client";

/** An identity provider in this process; its `fetch` answers the requests. */
async function identityProvider() {
  const { privateKey, publicKey } = await jose.generateKeyPair("RS256");
  const key = { ...(await jose.exportJWK(publicKey)), kid: "1", alg: "RS256", use: "sig" };
  const documents = {
    "/.well-known/openid-configuration": {
      issuer: ISSUER,
      authorization_endpoint: `${ISSUER}/authorize`,
      token_endpoint: `${ISSUER}/token`,
      jwks_uri: `${ISSUER}/jwks`,
      response_types_supported: ["id_token", "code"],
      response_modes_supported: ["form_post"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"],
    },
    "/jwks": { keys: [key] },
  };
  const sign = (claims, type) =>
    new jose.SignJWT(claims)
      .setProtectedHeader({ alg: "RS256", kid: "1", ...(type && { typ: type }) })
      .setIssuer(ISSUER)
      .setAudience(CLIENT_ID)
      .setIssuedAt()
      .setExpirationTime("1h")
      .sign(privateKey);
  const customFetch = async (input) => {
    const { pathname } = new URL(input.url ?? input);
    const document = documents[pathname];
    return document ? Response.json(document) : new Response(null, { status: 404 });
  };
  return { customFetch, sign };
}

/** Starts an app with a store from `storeOf`, and a browser that can log in. */
async function start(kit, { storeOf = () => kit.store(), ...options } = {}) {
  const provider = await identityProvider();
  const store = storeOf();
  const app = express();
  const { address } = await serve(kit, app);
  app.use(express.urlencoded({ extended: false }));
  app.use(
    auth({
      issuerBaseURL: ISSUER,
      baseURL: address,
      clientID: CLIENT_ID,
      secret: "a secret of 32 characters or more",
      authRequired: false,
      idpLogout: false,
      customFetch: provider.customFetch,
      session: { store, rolling: true, rollingDuration: 600, absoluteDuration: 3600 },
      ...options,
    }),
  );
  app.get("/", (req, res) => {
    const { basket = null } = req.appSession ?? {}; // undefined after a logout at the provider
    res.json({ user: req.oidc.user?.sub ?? null, basket });
  });
  app.get("/buy", (req, res) => {
    req.appSession.basket = ["book"];
    res.json({});
  });
  app.get("/private", requiresAuth(), (req, res) => res.json({ user: req.oidc.user.sub }));
  const tab = browser(address);

  /** Logs in like a browser that the provider redirects back with an id_token. */
  async function login(sub) {
    const { location } = await tab.go("/login");
    assert.ok(location?.startsWith(`${ISSUER}/authorize?`), `redirected to ${location}`);
    const { nonce, state } = Object.fromEntries(new URL(location).searchParams);
    const id_token = await provider.sign({ sub, sid: `sid of ${sub}`, nonce });
    const { status, text } = await tab.go("/callback", { id_token, state });
    assert.equal(status, 302, text);
  }
  return { provider, login, ...tab };
}

/** The same cases for each way to make the store. */
function casesOf(way, made = () => undefined) {
  return {
    async [`${way}: a login is stored, with the session's expiry`](kit) {
      const app = await start(kit, { storeOf: made(kit) });
      await app.login("ada");
      assert.deepEqual(await app.read("/private"), { user: "ada" });
      const [key, ...others] = await kit.redis.keys("sess:*");
      assert.deepEqual(others, []);
      assert.equal(key, `sess:${decodeURIComponent(app.cookies.get("appSession"))}`);
      await assertExpiry(kit, key, 600);
    },

    async [`${way}: a visitor's session gets another id at login`](kit) {
      const app = await start(kit, { storeOf: made(kit) });
      await app.read("/buy");
      const [before] = await kit.redis.keys("sess:*");
      await app.login("ada");
      const keys = await kit.redis.keys("sess:*");
      assert.equal(keys.length, 1);
      assert.notEqual(keys[0], before);
      assert.deepEqual(await app.read("/"), { user: "ada", basket: ["book"] });
    },

    async [`${way}: a logout removes the session`](kit) {
      const app = await start(kit, { storeOf: made(kit) });
      await app.login("ada");
      const { appSession } = Object.fromEntries(app.cookies);
      await app.go("/logout");
      assert.equal(await kit.redis.dbSize(), 0);
      app.cookies.set("appSession", appSession);
      assert.deepEqual(await app.read("/"), { user: null, basket: null });
    },

    async [`${way}: each request renews the session`](kit) {
      const app = await start(kit, { storeOf: made(kit) });
      await app.login("ada");
      const [key] = await kit.redis.keys("sess:*");
      await kit.redis.pExpire(key, 20_000);
      assert.deepEqual(await app.read("/"), { user: "ada", basket: null });
      await assertExpiry(kit, key, 600);
    },

    async [`${way}: a logout at the provider ends the session`](kit) {
      const backchannelLogout = true;
      const app = await start(kit, { storeOf: made(kit), backchannelLogout });
      await app.login("ada");
      const events = { "http://schemas.openid.net/event/backchannel-logout": {} };
      const claims = { sub: "ada", sid: "sid of ada", jti: "1", events };
      const logout_token = await app.provider.sign(claims, "logout+jwt");
      const { status, text } = await app.go("/backchannel-logout", { logout_token });
      assert.equal(status, 204, text);
      assert.equal((await app.read("/")).user, null);
      await app.login("ada");
      assert.equal((await app.read("/")).user, "ada");
    },
  };
}

module.exports = {
  title: "express-openid-connect",
  connections: ["url", "ioredis 5", "node-redis 6", "connect-redis 10"],
  cases: casesOf("session.store"),
  // As the package's documentation shows for connect-redis 6 and its contemporaries.
  ours: casesOf("made for auth, in place of express-session", (kit) => () => {
    const store = new (kit.module(auth))(kit.options);
    assert.ok(store instanceof auth.Store);
    kit.after(() => store.close());
    return store;
  }),
};
