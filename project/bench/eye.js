// Watches a call page from beside it: what its socket sends, and which pictures the screen shows when.

const eye = {
  pressed: null,
  offered: null, // when the last offer was sent
  frames: [], // {at, media}: presented pictures
  peers: [],
  levels: [], // [at, RMS in dBFS] of what is played, where that is audible
  most: 100_000,

  press(id) {
    this.pressed = performance.now();
    document.getElementById(id).click();
  },

  /** Ask in writing, as the page's own field does. */
  ask(text) {
    const at = performance.now();
    if (!globalThis.parley.sendText(text)) throw new Error("not connected");
    return at;
  },

  times(since) {
    return this.frames.map((frame) => frame.at).filter((at) => at >= since);
  },

  heard(since) {
    return this.levels.find(([at]) => at >= since)?.[0] ?? null;
  },

  silent(since, quiet) {
    const [last] = this.levels.at(-1) ?? [0];
    return last >= since && performance.now() - last > quiet;
  },

  async inbound(kind) {
    for (const peer of this.peers) {
      if (peer.connectionState !== "connected") continue;
      for (const stats of (await peer.getStats()).values())
        if (stats.type === "inbound-rtp" && stats.kind === kind) return stats;
    }
    return {};
  },

  async stats() {
    return { ...(await this.inbound("video")) };
  },

  async drift() {
    const [video, audio] = [await this.inbound("video"), await this.inbound("audio")];
    const known = video.estimatedPlayoutTimestamp && audio.estimatedPlayoutTimestamp;
    // Both say which moment of the sender is played now: the voice lags by as much as its moment is older.
    return known ? video.estimatedPlayoutTimestamp - audio.estimatedPlayoutTimestamp : null;
  },

  listen(stream) {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 512;
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
      const level = 10 * Math.log10(power + 1e-12);
      if (level > -50 && this.levels.length < this.most) this.levels.push([performance.now(), level]);
    }, 5);
  },

  watch(video) {
    const shown = (now, frame) => {
      if (this.frames.length < this.most)
        this.frames.push({ at: frame.presentationTime ?? now, media: frame.mediaTime });
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
  },
};

globalThis.eye = eye;

const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  if (typeof data === "string" && data.includes('"rtc.offer"')) eye.offered = performance.now();
  return send.call(this, data);
};

const Peer = globalThis.RTCPeerConnection;
globalThis.RTCPeerConnection = class extends Peer {
  constructor(...options) {
    super(...options);
    eye.peers.push(this);
    this.addEventListener("track", ({ track }) => {
      if (track.kind === "audio") eye.listen(new MediaStream([track]));
    });
  }
};

document.addEventListener("DOMContentLoaded", () => {
  for (const video of document.querySelectorAll("video")) eye.watch(video);
});
