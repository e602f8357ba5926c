// Who speaks: the loudness of each stream, by an analyser of the browser's audio graph.

import { audio } from "./sound.js";

/** Louder than this, as the root mean square of the samples, is speech; and so many milliseconds of quiet end it. */
const LOUD = 0.018;
const QUIET_AFTER = 600;

export class Speaking {
  #ears = new Map();
  #timer = 0;
  #changed;

  /** `changed(name, speaking)` is told when somebody begins or ends. */
  constructor(changed) {
    this.#changed = changed;
    this.#timer = setInterval(() => this.#look(), 120);
  }

  /** Listens to somebody's stream from now on, or, without a sound in it, no longer. */
  listen(name, stream) {
    const track = stream?.getAudioTracks()[0] ?? null;
    const known = this.#ears.get(name);
    if ((known?.track ?? null) === track) {
      return;
    }
    this.forget(name);
    if (!track) {
      return;
    }
    const source = new MediaStreamAudioSourceNode(audio(), { mediaStream: new MediaStream([track]) });
    const analyser = new AnalyserNode(audio(), { fftSize: 512 });
    source.connect(analyser);
    this.#ears.set(name, { track, source, analyser, samples: new Float32Array(512), until: 0, speaking: false });
  }

  forget(name) {
    const ear = this.#ears.get(name);
    if (ear) {
      ear.source.disconnect();
      this.#ears.delete(name);
      if (ear.speaking) {
        this.#changed(name, false);
      }
    }
  }

  #look() {
    const now = performance.now();
    for (const [name, ear] of this.#ears) {
      ear.analyser.getFloatTimeDomainData(ear.samples);
      const power = ear.samples.reduce((sum, sample) => sum + sample * sample, 0) / ear.samples.length;
      if (Math.sqrt(power) > LOUD && ear.track.enabled) {
        ear.until = now + QUIET_AFTER;
      }
      const speaking = now < ear.until;
      if (speaking !== ear.speaking) {
        ear.speaking = speaking;
        this.#changed(name, speaking);
      }
    }
  }

  close() {
    clearInterval(this.#timer);
    [...this.#ears.keys()].forEach((name) => this.forget(name));
  }
}
