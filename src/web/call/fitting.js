// @ts-check
// Which buttons fit into a row. Nothing here touches the page.

/**
 * @param {object} options all sizes in pixels
 * @param {number} options.width of the row
 * @param {number} options.size of a button
 * @param {number} options.gap
 * @param {number} options.fixed how many buttons stay in any case
 * @param {string[]} options.ids
 * @param {string[]} options.order those that stay longest first
 * @returns {Set<string>} those in the row
 */
export function fitting({ width, size, gap, fixed, ids, order }) {
  const places = Math.floor((width + gap) / (size + gap)) - fixed;
  return new Set(order.filter((id) => ids.includes(id)).slice(0, Math.max(0, places)));
}
