"use strict";

// The page's HTML. Each text that comes from elsewhere goes through `html`, which escapes it.

/** HTML that is not to be escaped again. */
class Html {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }

  toString() {
    return this.text;
  }
}

/**
 * A template: what is put in is escaped, unless it is `Html` or a list of it.
 * @param {TemplateStringsArray} strings
 * @param {unknown[]} values
 */
function html(strings, ...values) {
  const parts = values.map((value, n) => escaped(value) + strings[n + 1]);
  return new Html(strings[0] + parts.join(""));
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function escaped(value) {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(escaped).join("");
  if (value === undefined || value === null || value === false) return "";
  return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/**
 * @param {object} page
 * @param {string} page.title
 * @param {string} page.base
 * @param {boolean} [page.isAway] whether to try again
 * @param {Html} body
 */
function layout({ title, base, isAway = false }, body) {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
${isAway && html`<meta http-equiv="refresh" content="5">`}
<title>${title}</title>
<link rel="stylesheet" href="${base}/page.css">
<script src="${base}/page.js" defer></script>
</head>
<body data-base="${base}">
<header><h1><a href="${base || "/"}">Sessions</a></h1><p id="count" data-wait="counting …"></p></header>
<main>
${body}
</main>
<footer><p id="metrics" aria-label="What goes on"></p></footer>
<dialog id="ask" aria-labelledby="question">
<form method="dialog"><p id="question"></p>
<button value="no" autofocus>Keep</button> <button value="yes" class="danger">Destroy</button></form>
</dialog>
</body>
</html>
`.text;
}

/** @typedef {import("./sessions.js").Shown} Shown */
/** @typedef {import("./sessions.js").Place} Place */

/**
 * @param {object} page
 * @param {Shown[]} page.sessions
 * @param {string} page.base
 * @param {string} page.at
 * @param {string} [page.next]
 * @param {number} [page.more]
 * @param {boolean} [page.isEstimate] whether `more` is
 * @param {string} [page.user]
 * @param {boolean} page.canSearch
 * @param {boolean} page.mayWrite
 */
function renderList(page) {
  const { sessions, base, at, next, more = 0, isEstimate, user, canSearch, mayWrite } = page;
  const title = user === undefined ? "Sessions" : `Sessions of ${user}`;
  const isEmpty = sessions.length === 0;
  return layout(
    { title, base },
    html`${searchForm(base, user, canSearch)}
<p id="status" role="status" aria-live="polite"></p>
${
  mayWrite &&
  user !== undefined &&
  !isEmpty &&
  html`<p><button class="danger" data-user="${user}">Destroy all of ${user}</button></p>`
}
${isEmpty ? emptiness(user, canSearch, next) : table(sessions, { base, place: { at, user }, mayWrite })}
${more > 0 && html`<p>${isEstimate ? `About ${more}` : more} more are not shown.</p>`}
<nav aria-label="Pages">
${at !== "" && html`<a href="${base || "/"}">First page</a>`}
${next !== undefined && html`<a rel="next" href="${base}/?at=${encodeURIComponent(next)}">Next page</a>`}
</nav>`,
  );
}

/**
 * @param {string} base
 * @param {string | undefined} user
 * @param {boolean} canSearch
 */
function searchForm(base, user, canSearch) {
  if (!canSearch) {
    return html`<p class="hint">To search by user, the store needs the option <code>user</code>.</p>`;
  }
  return html`<form role="search" action="${base}/" method="get">
<label for="user">User</label>
<input id="user" name="user" value="${user}" autocomplete="off" spellcheck="false">
<button>Search</button>
${user !== undefined && html`<a href="${base || "/"}">All</a>`}
</form>`;
}

/**
 * @param {string | undefined} user
 * @param {boolean} canSearch
 * @param {string | undefined} next
 */
function emptiness(user, canSearch, next) {
  if (user !== undefined && !canSearch) return undefined;
  if (user !== undefined) return html`<p class="empty">${user} has no session.</p>`;
  return next === undefined
    ? html`<p class="empty">There is no session here.</p>`
    : html`<p class="empty">Other keys of this Redis have been looked at, and no session was among them. Go on to the next page.</p>`;
}

/**
 * @param {Shown[]} sessions
 * @param {{base: string, place: Place, mayWrite: boolean}} page
 */
function table(sessions, page) {
  return html`<table>
<thead><tr><th scope="col">Session</th><th scope="col">Holds</th><th scope="col">Ends in</th><th scope="col">Size</th>${
    page.mayWrite && html`<th scope="col"><span class="unseen">Action</span></th>`
  }</tr></thead>
<tbody>
${sessions.map((session) => row(session, page))}
</tbody>
</table>`;
}

/**
 * @param {Shown} session
 * @param {{base: string, place: Place, mayWrite: boolean}} page
 */
function row({ handle, expires, size, members }, { base, place, mayWrite }) {
  const link = `${base}/session?handle=${handle}&${queryOf(place)}`;
  const held = members?.map(({ name, type, value }) =>
    value === undefined
      ? html`<li>${name} <small>${type}</small></li>`
      : html`<li>${name} <b>${value}</b></li>`,
  );
  return html`<tr data-handle="${handle}">
<th scope="row"><a href="${link}"><code>${handle.slice(0, 8)}</code></a></th>
<td data-label="Holds">${held ? html`<ul class="members">${held}</ul>` : "cannot be read"}</td>
<td data-label="Ends in">${time(expires)}</td>
<td data-label="Size">${size === undefined ? "" : `${size} B`}</td>
${
  mayWrite &&
  html`<td><button class="danger" data-handle="${handle}" data-at="${place.at}" data-of="${place.user}" aria-label="Destroy session ${handle.slice(0, 8)}">Destroy</button></td>`
}
</tr>
`;
}

/**
 * Where a session was seen, for a link.
 * @param {Place} place
 */
function queryOf({ at, user }) {
  return new URLSearchParams(user === undefined ? { at } : { user });
}

/** @param {number | undefined} expires */
function time(expires) {
  if (expires === undefined) return html`never`;
  const iso = new Date(expires).toISOString();
  return html`<time datetime="${iso}" title="${iso}">${left(expires - Date.now())}</time>`;
}

/** @param {number} ms */
function left(ms) {
  const seconds = Math.max(Math.round(ms / 1000), 0);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800
    ? `${Math.floor(seconds / 3600)} h`
    : `${Math.floor(seconds / 86_400)} d`;
}

/**
 * @param {object} page
 * @param {Shown} [page.session]
 * @param {string} page.base
 * @param {Place} page.place
 * @param {boolean} page.mayWrite
 */
function renderSession({ session, base, place, mayWrite }) {
  const back = html`<p><a href="${base}/?${queryOf(place)}">Back to the list</a></p>`;
  if (session === undefined) {
    return layout(
      { title: "No session", base },
      html`<p class="empty">There is no such session any more. A handle lives as long as the process that made it.</p>${back}`,
    );
  }
  const { handle, expires, size, members } = session;
  const rows = members?.map(
    ({ name, type, size: bytes, value }) =>
      html`<tr><th scope="row">${name}</th><td data-label="Type">${type}</td><td data-label="Size">${bytes} B</td><td data-label="Value">${value ?? html`<small>hidden</small>`}</td></tr>
`,
  );
  return layout(
    { title: `Session ${handle.slice(0, 8)}`, base },
    html`<h2>Session <code>${handle}</code></h2>
<p id="status" role="status" aria-live="polite"></p>
<dl><dt>Ends in</dt><dd>${time(expires)}</dd><dt>Size</dt><dd>${size === undefined ? "not known" : `${size} B`}</dd></dl>
${
  rows
    ? html`<table><thead><tr><th scope="col">Member</th><th scope="col">Type</th><th scope="col">Size</th><th scope="col">Value</th></tr></thead><tbody>
${rows}</tbody></table>`
    : html`<p class="empty">Its text cannot be read.</p>`
}
<nav>${mayWrite && html`<button class="danger" data-handle="${handle}" data-at="${place.at}" data-of="${place.user}">Destroy</button>`}</nav>
${back}`,
  );
}

/**
 * @param {{base: string, error: Error & {code?: string}}} page
 */
function renderAway({ base, error }) {
  // The codes of what is between here and Redis begin so; Redis's own words do not.
  const isAway = /^E(?!RR$)/.test(error.code ?? "");
  return layout(
    { title: isAway ? "Redis is away" : "Redis refuses", base, isAway },
    html`<p class="away" role="alert">${
      isAway ? "Redis is away. This page tries again every five seconds." : "Redis refuses."
    }</p>
<p class="hint">${error.message}</p>`,
  );
}

module.exports = { renderAway, renderList, renderSession };
