"use strict";

const STYLE = `
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; color: #1b1b1f; }
  h1 { font-size: 1.4rem; } form { display: inline; }
  input, button { font: inherit; padding: .4rem .7rem; border: 1px solid #999; border-radius: .4rem; }
  button { background: #1f4fd8; border-color: #1f4fd8; color: #fff; cursor: pointer; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; } dt { color: #666; } dd { margin: 0; }
  pre { background: #f4f4f6; padding: 1rem; border-radius: .4rem; white-space: pre-wrap; overflow-wrap: anywhere; }
  .error { color: #b00020; }`;

/**
 * Returns the demo's only page: the sign-in form, or the user who is signed in and the stored session.
 * @param {{user?: string, visits?: number, expires?: Date, error?: string,
 *   stored?: {key: string, json: string, ttl: number} | null}} state
 */
function renderPage({ user, visits, expires, stored, error }) {
  const body = user ? signedIn({ user, visits, expires, stored }) : signIn();
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>connect-redis-rs demo</title>
<style>${STYLE}</style>
<h1>A session in Redis</h1>
${error ? `<p class="error">${escapeHtml(error)}</p>` : ""}
${body}
</html>
`;
}

function signIn() {
  return `<p>Nobody is signed in, and nothing is stored.</p>
<form method="post" action="/login">
  <input name="user" placeholder="Your name" aria-label="Your name" required autofocus>
  <button>Sign in</button>
</form>`;
}

function signedIn({ user, visits, expires, stored }) {
  const inRedis = stored
    ? `<dl>
  <dt>Key</dt><dd><code>${escapeHtml(stored.key)}</code></dd>
  <dt>Expires in</dt><dd>${stored.ttl} ms</dd>
</dl>
<pre>${escapeHtml(JSON.stringify(JSON.parse(stored.json), null, 2))}</pre>`
    : "<p>Redis holds nothing for this session.</p>";
  return `<dl>
  <dt>Signed in as</dt><dd><strong id="user">${escapeHtml(user)}</strong></dd>
  <dt>Visits</dt><dd id="visits">${visits}</dd>
  <dt>Session ends</dt><dd><time>${expires.toISOString()}</time></dd>
</dl>
<form method="get" action="/"><button>Visit again</button></form>
<form method="post" action="/logout"><button>Sign out</button></form>
<h2>What Redis holds</h2>
${inRedis}`;
}

function escapeHtml(text) {
  return String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

module.exports = { renderPage };
