// @ts-check
// Icons: SVG paths in a square of 24, drawn in the colour of the surrounding text.

/** @type {Record<string, string[]>} */
const PATHS = {
  phone: ["M5 4h4l2 5-2.5 1.5a11 11 0 0 0 5 5L15 13l5 2v4a2 2 0 0 1-2 2A16 16 0 0 1 3 6a2 2 0 0 1 2-2"],
  hangup: [
    "M12 10c-3.300 0-6.200 1-8.500 2.700a1.700 1.700 0 0 0-.3 2.400l1.300 1.600" +
      "a1.700 1.700 0 0 0 2.200.4l2-1.200a1.500 1.500 0 0 0 .8-1.300v-1.400a9 9 0 0 1 5 0v1.400" +
      "a1.500 1.500 0 0 0 .8 1.300l2 1.200a1.700 1.700 0 0 0 2.200-.4l1.300-1.600" +
      "a1.700 1.700 0 0 0-.3-2.400C18.200 11 15.300 10 12 10z",
  ],
  video: ["M4 6h9a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V8a2 2 0 0 1 2-2", "M15 11l6-4v10l-6-4"],
  videoOff: [
    "M15 11l6-4v10l-6-4",
    "M9 6h4a2 2 0 0 1 2 2v4",
    "M14 17.500A2 2 0 0 1 13 18H4a2 2 0 0 1-2-2V8a2 2 0 0 1 2-2",
    "M3 3l18 18",
  ],
  microphone: ["M12 3a3 3 0 0 1 3 3v6a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3", "M5 11a7 7 0 0 0 14 0", "M12 18v3"],
  microphoneOff: [
    "M15 9.500V6a3 3 0 0 0-5.700-1.300",
    "M9 9v3a3 3 0 0 0 4.500 2.600",
    "M5 11a7 7 0 0 0 11 5.700",
    "M19 11a7 7 0 0 1-.5 2.600",
    "M12 18v3",
    "M3 3l18 18",
  ],
  screen: [
    "M4 4h16a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2",
    "M8 21h8",
    "M12 17v4",
    "M12 13V8",
    "M9.500 10.200 12 7.700l2.500 2.500",
  ],
  screenOff: [
    "M4 4h16a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2",
    "M8 21h8",
    "M12 17v4",
    "M10 8.500l4 4",
    "M14 8.500l-4 4",
  ],
  invite: ["M9 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8", "M2 21a7 7 0 0 1 14 0", "M19 8v6", "M16 11h6"],
  people: [
    "M9 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8",
    "M2 21a7 7 0 0 1 14 0",
    "M16 4.500a4 4 0 0 1 0 7",
    "M18.500 14.500A7 7 0 0 1 22 21",
  ],
  devices: ["M4 7h10", "M18 7h2", "M16 5v4", "M4 12h2", "M10 12h10", "M8 10v4", "M4 17h8", "M16 17h4", "M14 15v4"],
  back: ["M15 5l-7 7 7 7"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  out: ["M14 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h8", "M10 12h11", "M17.500 8.500 21 12l-3.500 3.500"],
  bell: ["M6 16V11a6 6 0 0 1 12 0v5l2 2H4z", "M10 21h4"],
  history: ["M4 12a8 8 0 1 0 2.500-5.800L4 8.500", "M4 4v4.500h4.500", "M12 8v4.500l3 1.800"],
  incoming: ["M19 5 7 17", "M7 8.500V17h8.500"],
  outgoing: ["M5 19 17 7", "M8.500 7H17v8.500"],
  missed: ["M4 7l8 8 8-8", "M4 12V7h5"],
  lock: ["M7 11V8a5 5 0 0 1 10 0v3", "M6 11h12a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-8a1 1 0 0 1 1-1"],
  eye: [
    "M2 12c2.500-4.500 6-7 10-7s7.500 2.500 10 7c-2.500 4.500-6 7-10 7s-7.500-2.500-10-7",
    "M12 9a3 3 0 1 1 0 6 3 3 0 0 1 0-6",
  ],
  sound: ["M4 9v6h4l5 4V5L8 9z", "M16.500 8.500a5 5 0 0 1 0 7", "M19 6a9 9 0 0 1 0 12"],
  relay: [
    "M12 4a2 2 0 1 1 0 4 2 2 0 0 1 0-4",
    "M5 16a2 2 0 1 1 0 4 2 2 0 0 1 0-4",
    "M19 16a2 2 0 1 1 0 4 2 2 0 0 1 0-4",
    "M11 8l-5 8",
    "M13 8l5 8",
  ],
};

const SVG = "http://www.w3.org/2000/svg";

/**
 * An icon, hidden from screen readers: its button or link has a name.
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}
