"use strict";

// A user's name or password that a function of the app's gives, before each login.

/** The most of an error's text that a message repeats. */
const MOST_CHARS = 200;

/**
 * Calls such a function, for the native side.
 * @param {() => unknown} give the option `username` or `password`
 * @param {number} id of the question
 * @param {(id: number, given?: string, said?: string) => void} answered is called with what it gives,
 *   or with what messages say of the function instead
 */
function askCredential(give, id, answered) {
  new Promise((resolve) => resolve(give())).then(
    (given) => {
      // What it is otherwise is not shown: it may be a secret all the same.
      if (given === undefined || given === null || typeof given === "string") answered(id, given);
      else answered(id, undefined, `gave ${kindOf(given)}, and must give a string`);
    },
    (error) => answered(id, undefined, `failed: ${reasonOf(error)}`),
  );
}

/** @param {unknown} value */
function kindOf(value) {
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

/**
 * What an error says, without logins in urls; of what is thrown without being an error, nothing.
 * @param {any} error
 */
function reasonOf(error) {
  try {
    const { message } = error;
    if (typeof message !== "string") return "it threw what is no Error";
    return message.replace(/\/\/[^/\s]*@/g, "//…@").slice(0, MOST_CHARS);
  } catch {
    return "it threw what is no Error";
  }
}

module.exports = { askCredential };
