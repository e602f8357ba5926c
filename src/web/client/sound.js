// @ts-check
// Synthesised sounds: ringtone, ringback and short signals. Browsers let a page make sounds after the first click or
// key.

/** @type {AudioContext | null} */
let context = null;

/** The page's only audio context. The next click or key resumes it if the browser suspended it. */
export function audioContext() {
  context ??= newContext();
  if (context.state === "suspended") {
    context.resume().catch(() => {});
  }
  return context;
}

function newContext() {
  const context = new AudioContext();
  for (const gesture of ["pointerdown", "keydown"]) {
    addEventListener(gesture, () => context.state === "suspended" && context.resume(), { capture: true });
  }
  return context;
}

/**
 * @typedef {object} Tone
 * @property {number} hertz
 * @property {number} at seconds from now
 * @property {number} seconds duration
 * @property {number} gain
 */

/**
 * Plays a tone with soft edges.
 * @param {AudioNode} output
 * @param {Tone} tone
 */
function playTone(output, { hertz, at, seconds, gain: level }) {
  const start = audioContext().currentTime + at;
  const oscillator = new OscillatorNode(audioContext(), { frequency: hertz });
  const gain = new GainNode(audioContext(), { gain: 0 });
  gain.gain.setTargetAtTime(level, start, 0.015);
  gain.gain.setTargetAtTime(0, start + seconds - 0.06, 0.025);
  oscillator.connect(gain).connect(output);
  oscillator.start(start);
  oscillator.stop(start + seconds + 0.1);
}

/**
 * Repeats tones until the returned function is called.
 * @param {Tone[]} tones
 * @param {number} interval milliseconds
 */
function repeatTones(tones, interval) {
  const output = new GainNode(audioContext(), { gain: 1 });
  output.connect(audioContext().destination);
  const play = () => tones.forEach((tone) => playTone(output, tone));
  play();
  const timer = setInterval(play, interval);
  return () => {
    clearInterval(timer);
    output.disconnect();
  };
}

const CHIME = [659, 784, 988];
const RING = [0, 0.7].flatMap((begin) =>
  CHIME.map((hertz, index) => ({ hertz, at: begin + index * 0.16, seconds: 0.22, gain: 0.16 })));
const CALL_WAITING = [0, 0.25].map((at) => ({ hertz: 784, at, seconds: 0.15, gain: 0.05 }));
const RINGBACK = [{ hertz: 425, at: 0, seconds: 1, gain: 0.05 }];

/** A call rings for me. */
export const ringtone = () => repeatTones(RING, 2_600);

/** A call rings for me while I am on another one. */
export const callWaitingTone = () => repeatTones(CALL_WAITING, 4_000);

/** The call that I make rings. */
export const ringbackTone = () => repeatTones(RINGBACK, 4_000);

/** @param {[hertz: number, at: number][]} notes */
const signal = (...notes) => () => {
  for (const [hertz, at] of notes) {
    playTone(audioContext().destination, { hertz, at, seconds: 0.14, gain: 0.08 });
  }
};

export const joinedTone = signal([523, 0], [784, 0.1]);
export const leftTone = signal([784, 0], [523, 0.1]);
export const failureTone = signal([330, 0], [262, 0.16], [262, 0.32]);
