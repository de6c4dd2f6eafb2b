"use strict";

/** Who may sign in. */
const USERS = ["Ada", "Grace"];

const STYLE = `
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; color: #1b1b1f; }
  h1 { font-size: 1.4rem; } form { display: inline; }
  input, button { font: inherit; padding: .4rem .7rem; border: 1px solid #999; border-radius: .4rem; }
  button { background: #1f4fd8; border-color: #1f4fd8; color: #fff; cursor: pointer; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; } dt { color: #666; } dd { margin: 0; }
  pre { background: #f4f4f6; padding: 1rem; border-radius: .4rem; white-space: pre-wrap; overflow-wrap: anywhere; }
  .error { color: #b00020; }
  table { border-collapse: collapse; } th, td { text-align: left; padding: .3rem 1.2rem .3rem 0; }
  .keys span { display: inline-block; width: .9rem; height: .9rem; margin: .1rem; border-radius: .2rem; background: #d8d8de; }
  .keys .kept { background: #1f4fd8; }`;

/**
 * Returns the demo's first page: the sign-in form; or the user who is signed in, and what is stored for them.
 * @param {object} state
 * @param {string} [state.error]
 * @param {string} [state.user] who is signed in
 * @param {number} [state.visits]
 * @param {Date} [state.expires]
 * @param {{key: string, json: string, ttl: number} | null} [state.stored]
 * @param {{device: string, visits: number, expires: Date, isThis: boolean}[]} [state.devices] the user's
 *   sessions
 * @param {number[]} [state.counts] how many sessions each of USERS has
 */
function renderPage({ error, ...state }) {
  return layout(`<h1>A session in Redis</h1>
${error ? `<p class="error">${escapeHtml(error)}</p>` : ""}
${state.user ? signedIn(state) : signIn()}
<p><a href="/sessions">Who is signed in, and what goes on</a></p>
<h2>Two requests at once</h2>
<p>Twenty parallel requests of one session each set a key of their own. How many keys are left?</p>
${sendForm()}`);
}

/**
 * Returns the page that says what twenty requests at once have left.
 * @param {{keys: string[], last: string[], merge: string[]}} race the keys that were set, and those that
 *   are left by each store
 */
function renderRace({ keys, last, merge }) {
  return layout(`<h1>Two requests at once</h1>
<p>Twenty parallel requests of one session have each set a key of their own. Left are:</p>
<table>
${raceRow("last", keys, last)}
${raceRow("merge", keys, merge)}
</table>
<p>With <code>"last"</code>, the default, each request saves the whole session as it knows it, and the
last save wins. With <code>"merge"</code>, a save keeps what the others have written.</p>
${sendForm()}
<form method="get" action="/"><button>Back</button></form>`);
}

function raceRow(name, keys, left) {
  const marks = keys.map(
    (key) => `<span title="${key}"${left.includes(key) ? ' class="kept"' : ""}></span>`,
  );
  return `<tr><th><code>concurrency: "${name}"</code></th>
  <td><strong id="${name}">${left.length} of ${keys.length}</strong></td>
  <td class="keys">${marks.join("")}</td></tr>`;
}

function sendForm() {
  return `<form method="post" action="/race"><button>Send twenty requests</button></form>`;
}

function layout(body) {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>connect-redis-rs demo</title>
<style>${STYLE}</style>
${body}
</html>
`;
}

function signIn() {
  const buttons = USERS.map(
    (user) => `<button name="user" value="${user}">Sign in as ${user}</button>`,
  );
  return `<p>Nobody is signed in, and nothing is stored for this browser.</p>
<form method="post" action="/login">
  ${buttons.join("\n  ")}
</form>`;
}

function signedIn({ user, visits, expires, stored, devices, counts }) {
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
<h2>Where ${escapeHtml(user)} is signed in</h2>
${deviceTable(devices)}
<form method="post" action="/login-elsewhere"><button>Sign in elsewhere, too</button></form>
<form method="post" action="/logout-elsewhere"><button>Sign out everywhere else</button></form>
<p id="counts">${USERS.map((name, n) => `${name}: ${counts[n]}`).join(", ")}</p>
<h2>What Redis holds</h2>
${inRedis}`;
}

function deviceTable(devices) {
  const rows = devices.map(
    ({ device, visits, expires, isThis }) => `<tr class="device"><td>${escapeHtml(device)}</td>
  <td>${visits}</td><td><time>${expires.toISOString()}</time></td>
  <td>${isThis ? "<strong>this one</strong>" : ""}</td></tr>`,
  );
  return `<table>
<tr><th>Browser</th><th>Visits</th><th>Session ends</th><th></th></tr>
${rows.join("\n")}
</table>`;
}

function escapeHtml(text) {
  return String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

module.exports = { USERS, renderPage, renderRace };
