// @ts-check
// Who speaks: the loudness of each person's sound, measured with the Web Audio API.

import { audioContext } from "./sound.js";

/** Speech is louder than this root mean square of the samples; this many milliseconds of quiet end it. */
const SPEECH_MIN = 0.018;
const QUIET_AFTER = 600;

const MEASURE_INTERVAL = 120;

/** Measures how loud a track is. */
export class Meter {
  #source;
  #analyser;
  #samples = new Float32Array(512);
  speaksUntil = 0;
  isSpeaking = false;

  /** @param {MediaStreamTrack} track */
  constructor(track) {
    this.track = track;
    this.#source = new MediaStreamAudioSourceNode(audioContext(), { mediaStream: new MediaStream([track]) });
    this.#analyser = new AnalyserNode(audioContext(), { fftSize: 512 });
    this.#source.connect(this.#analyser);
  }

  /** The root mean square of the newest samples. */
  get loudness() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    return Math.sqrt(power);
  }

  close() {
    this.#source.disconnect();
  }
}

export class Speaking {
  /** @type {Map<string, Meter>} */
  #meters = new Map();
  #timer;
  #onChange;

  /** @param {(name: string, isSpeaking: boolean) => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#timer = setInterval(() => this.#measure(), MEASURE_INTERVAL);
  }

  /**
   * Measures a person's stream; without sound in it, the person is forgotten.
   * @param {string} name
   * @param {MediaStream | null} stream
   */
  listen(name, stream) {
    const track = stream?.getAudioTracks()[0] ?? null;
    if ((this.#meters.get(name)?.track ?? null) === track) {
      return;
    }
    this.forget(name);
    if (track) {
      this.#meters.set(name, new Meter(track));
    }
  }

  /** @param {string} name */
  forget(name) {
    const meter = this.#meters.get(name);
    if (meter) {
      meter.close();
      this.#meters.delete(name);
      if (meter.isSpeaking) {
        this.#onChange(name, false);
      }
    }
  }

  /**
   * Forgets everybody else.
   * @param {Set<string>} names
   */
  keepOnly(names) {
    [...this.#meters.keys()].filter((name) => !names.has(name)).forEach((name) => this.forget(name));
  }

  #measure() {
    const now = performance.now();
    for (const [name, meter] of this.#meters) {
      if (meter.track.enabled && meter.loudness > SPEECH_MIN) {
        meter.speaksUntil = now + QUIET_AFTER;
      }
      const isSpeaking = now < meter.speaksUntil;
      if (isSpeaking !== meter.isSpeaking) {
        meter.isSpeaking = isSpeaking;
        this.#onChange(name, isSpeaking);
      }
    }
  }

  close() {
    clearInterval(this.#timer);
    this.keepOnly(new Set());
  }
}
