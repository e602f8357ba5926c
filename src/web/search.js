// @ts-check
// Search by words: case and accents do not matter.

/** Letters that Unicode does not take apart into a letter and an accent. @type {Record<string, string>} */
const PLAIN = { ß: "ss", æ: "ae", œ: "oe", ø: "o", ł: "l", đ: "d", ð: "d", þ: "th", ı: "i" };

/**
 * A text without case and accents.
 * @param {string} text
 */
export const folded = (text) =>
  text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "").replace(/[ßæœøłđðþı]/g, (letter) => PLAIN[letter]);

/** Compares titles as people order them: `room 9` comes before `room 10`. */
export const byTitle = new Intl.Collator(undefined, { numeric: true }).compare;

/**
 * How well a text matches a query: 0 if each word of the query begins a word of the text, 1 if the text contains each of
 * them, null if it does not.
 * @param {string} text
 * @param {string} query
 */
export function matchRank(text, query) {
  const words = folded(query).split(/\s+/).filter(Boolean);
  const searched = folded(text);
  if (!words.every((word) => searched.includes(word))) {
    return null;
  }
  const begins = (/** @type {string} */ word) =>
    searched.split(/[^\p{L}\p{N}]+/u).some((part) => part.startsWith(word)) || searched.startsWith(word);
  return words.every(begins) ? 0 : 1;
}

/**
 * The items that match, the better ones first; otherwise they keep their order.
 * @template Item
 * @param {Item[]} items
 * @param {string} query
 * @param {(item: Item) => string} text
 */
export function searched(items, query, text) {
  const ranked = items.map((item) => ({ item, rank: matchRank(text(item), query) }));
  return [0, 1].flatMap((rank) => ranked.filter((one) => one.rank === rank).map(({ item }) => item));
}
