"use strict";

// Runs in the browser: destroys sessions, and tells what goes on.

const BASE = document.body.dataset.base;
const METRICS_EVERY_MS = 2000;

const byId = (id) => document.getElementById(id);

/** Asks by the dialog; resolves to whether the answer is yes. */
function ask(question) {
  const dialog = byId("ask");
  byId("question").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Posts to the page's own address, with the header that no form can send. */
async function post(path, body) {
  const response = await fetch(BASE + path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-connect-redis-rs": "admin" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function tell(text, isError = false) {
  const status = byId("status");
  status.textContent = text;
  status.className = isError ? "away" : "done";
}

/** Destroys what a button stands for. */
async function destroy(button) {
  const { handle, at, of, user } = button.dataset;
  const question = handle
    ? `Destroy session ${handle.slice(0, 8)}? Whoever has it is signed out at once.`
    : `Destroy all sessions of ${user}? They are signed out at once, everywhere.`;
  if (!(await ask(question))) return;
  button.disabled = true;
  try {
    const { destroyed } = handle
      ? await post("/destroy", { handle, at, of: of || undefined })
      : await post("/destroy-all-of", { user });
    const rows = handle ? [button.closest("tr")] : document.querySelectorAll("tbody tr");
    for (const row of rows) row?.remove();
    tell(destroyed === 1 ? "1 session was destroyed." : `${destroyed} sessions were destroyed.`);
    document.querySelector("main a, main button, main input")?.focus();
  } catch (error) {
    button.disabled = false;
    tell(error.message, true);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-handle], button[data-user]");
  if (button) destroy(button);
});

async function showCount() {
  const place = byId("count");
  place.textContent = place.dataset.wait;
  try {
    const { count } = await (await fetch(`${BASE}/count`)).json();
    place.textContent = Number.isInteger(count)
      ? `${count.toLocaleString("en")} session${count === 1 ? "" : "s"}`
      : "";
  } catch {
    place.textContent = "";
  }
}

/** The least bound under which half of the calls are that came since `before`. */
function median(now, before) {
  const counts = now.counts.map((count, n) => count - (before?.counts[n] ?? 0));
  const half = counts.reduce((all, count) => all + count, 0) / 2;
  if (half === 0) return undefined;
  let below = 0;
  const at = counts.findIndex((count) => {
    below += count;
    return below >= half;
  });
  return now.bounds[at];
}

let last;

async function showMetrics() {
  if (document.hidden) return;
  const place = byId("metrics");
  try {
    const metrics = await (await fetch(`${BASE}/metrics`)).json();
    const bound = median(metrics.latency.redis, last?.latency.redis);
    const calls = metrics.latency.redis.count - (last?.latency.redis.count ?? 0);
    const { hit, miss } = metrics.calls.get;
    const errors = Object.values(metrics.calls).reduce((all, { error }) => all + error, 0);
    place.textContent = [
      `connection ${metrics.status}`,
      last && `${Math.round((calls * 1000) / METRICS_EVERY_MS)} calls/s`,
      bound !== undefined && `Redis ≤ ${bound * 1000} ms`,
      hit + miss > 0 && `${Math.round((100 * hit) / (hit + miss))} % of reads found`,
      `${metrics.waiting.calls} waiting`,
      `${errors} errors`,
      metrics.reconnects > 0 && `${metrics.reconnects} reconnects`,
    ]
      .filter(Boolean)
      .join(" · ");
    last = metrics;
  } catch {
    place.textContent = "The app does not answer.";
  }
}

showCount();
showMetrics();
setInterval(showMetrics, METRICS_EVERY_MS);
