// @ts-check
// The links in a text that a person has typed.

const ADDRESS = /https?:\/\/[^\s<>"]+/g;

/** What ends a sentence is not part of an address in it. */
const TRAILING = /[.,;:!?'…]+$|\)+$/;

/**
 * Splits a text into plain parts and addresses.
 * @param {string} text
 * @returns {{ text: string, address: string | null }[]}
 */
export function partsOf(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    let address = match[0];
    // A parenthesis around an address is none of it, one within it is.
    while (TRAILING.test(address) && !(address.endsWith(")") && isBalanced(address))) {
      address = address.slice(0, -1);
    }
    if (URL.canParse(address)) {
      parts.push({ text: text.slice(end, match.index), address: null }, { text: address, address });
      end = match.index + address.length;
    }
  }
  return [...parts, { text: text.slice(end), address: null }].filter((part) => part.text !== "");
}

/** @param {string} address */
const isBalanced = (address) => address.split("(").length >= address.split(")").length;
