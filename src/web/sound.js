// Sounds, made here rather than loaded: a phone that rings, the tone that a caller hears, and small signs. Browsers let a page
// make sounds once somebody has clicked or typed in it.

let context = null;

/** The page's one audio context, which is woken by the next click or key if the browser put it to sleep. */
export function audio() {
  context ??= new AudioContext();
  if (context.state === "suspended") {
    context.resume().catch(() => {});
  }
  return context;
}

for (const gesture of ["pointerdown", "keydown"]) {
  addEventListener(gesture, () => context?.state === "suspended" && context.resume(), { capture: true });
}

/** A tone of so many hertz, `at` seconds from now, for so many seconds, with soft edges. */
function tone(output, hertz, at, seconds, loudness) {
  const start = audio().currentTime + at;
  const oscillator = new OscillatorNode(audio(), { frequency: hertz });
  const gain = new GainNode(audio(), { gain: 0 });
  gain.gain.setTargetAtTime(loudness, start, 0.015);
  gain.gain.setTargetAtTime(0, start + seconds - 0.06, 0.025);
  oscillator.connect(gain).connect(output);
  oscillator.start(start);
  oscillator.stop(start + seconds + 0.1);
}

/** Plays a pattern again and again; answers what stops it at once. */
function repeat(pattern, every) {
  const output = new GainNode(audio(), { gain: 1 });
  output.connect(audio().destination);
  pattern(output);
  const timer = setInterval(() => pattern(output), every);
  return () => {
    clearInterval(timer);
    output.disconnect();
  };
}

/** It rings for me. */
export const ring = () =>
  repeat((output) => {
    [0, 0.16, 0.32].forEach((at, step) => tone(output, [659, 784, 988][step], at, 0.22, 0.16));
    [0.7, 0.86, 1.02].forEach((at, step) => tone(output, [659, 784, 988][step], at, 0.22, 0.16));
  }, 2_600);

/** It rings for me while I talk to somebody. */
export const knock = () => repeat((output) => [0, 0.25].forEach((at) => tone(output, 784, at, 0.15, 0.05)), 4_000);

/** It rings for the one I call. */
export const ringback = () => repeat((output) => tone(output, 425, 0, 1, 0.05), 4_000);

const once = (...tones) => () => {
  for (const [hertz, at] of tones) {
    tone(audio().destination, hertz, at, 0.14, 0.08);
  }
};

export const joined = once([523, 0], [784, 0.1]);
export const left = once([784, 0], [523, 0.1]);
export const failed = once([330, 0], [262, 0.16], [262, 0.32]);
