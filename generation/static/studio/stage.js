// The stage: the chosen face, then the preview that plays while the rest is rendered, then the
// finished video.

import { $, el, icon } from "./dom.js";

const RETRY_MS = 700;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Stage {
  #hls = null;
  #previewing = "";

  constructor(hlsAddress) {
    this.hlsAddress = hlsAddress;
    this.box = $("stage");
    this.video = $("stage-video");
    this.idle = $("stage-idle");
    this.poster = $("stage-poster");
  }

  showAvatar(avatar) {
    this.#stopPreview();
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
    this.video.replaceChildren();
    this.video.hidden = true;
    $("downloads").hidden = true;
    $("stage-tag").hidden = true;
    $("stage-hint").hidden = Boolean(avatar?.preview_url);
    this.#face(avatar);
  }

  #face(avatar) {
    this.poster.hidden = !avatar?.preview_url;
    if (avatar?.preview_url) this.poster.src = avatar.preview_url;
    this.poster.alt = avatar ? avatar.name : "";
    this.idle.hidden = true;
    this.#shape(avatar);
    if (!avatar?.idle_url || calm.matches) return;
    this.idle.src = avatar.idle_url;
    this.idle.onplaying = () => (this.idle.hidden = false);
    this.idle.play().catch(() => {});
  }

  /** The stage takes the shape of what it shows, within what fits beside the form. */
  #shape(picture) {
    if (!picture?.width) return;
    const ratio = Math.min(1.78, Math.max(0.72, picture.width / picture.height));
    this.box.style.setProperty("--shape", String(ratio));
  }

  /** Play what there is of a clip that is still being rendered. */
  async preview(clip) {
    if (!clip.preview_url || this.#previewing === clip.id) return;
    this.#previewing = clip.id;
    const started = () => {
      if (this.#previewing !== clip.id) return;
      this.video.hidden = false;
      $("stage-tag").hidden = false;
      this.idle.pause();
      $("stage-hint").hidden = true;
    };
    // Not before a picture is really there: the face stays until then.
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(started);
    else this.video.addEventListener("timeupdate", started, { once: true });
    const { default: Hls } = await import(this.hlsAddress);
    if (this.#previewing !== clip.id) return;
    if (!Hls.isSupported()) {
      // Phones without media source extensions play the list themselves. Others that say they
      // could (Chromium does) stop at the end of a list that is still growing.
      this.video.src = clip.preview_url;
      this.video.play().catch(() => {});
      return;
    }
    this.#attach(Hls, clip);
  }

  #attach(Hls, clip) {
    const hls = new Hls({ enableWorker: false, liveSyncDurationCount: 1, startPosition: 0, backBufferLength: 60 });
    this.#hls = hls;
    hls.on(Hls.Events.MANIFEST_PARSED, () => this.video.play().catch(() => {}));
    hls.on(Hls.Events.ERROR, (_event, data) => {
      if (!data.fatal) return;
      this.#stopPreview();
      // The list may not be there yet: progress goes on, and the next event tries again.
      setTimeout(() => (this.#previewing = this.#previewing === clip.id ? "" : this.#previewing), RETRY_MS);
    });
    hls.loadSource(clip.preview_url);
    hls.attachMedia(this.video);
  }

  /** The finished video takes over where the preview stands. */
  finish(clip, { autoplay = true } = {}) {
    if (!clip.result?.video_url) return;
    const at = this.#previewing === clip.id && !this.video.hidden ? this.video.currentTime : 0;
    const was = this.#previewing === clip.id && !this.video.hidden && !this.video.paused;
    this.#stopPreview();
    this.idle.pause();
    this.idle.hidden = true;
    this.poster.hidden = true;
    $("stage-hint").hidden = true;
    $("stage-tag").hidden = true;
    this.#shape(clip.result);
    this.video.hidden = false;
    this.video.poster = clip.result.poster_url ?? "";
    this.video.src = clip.result.video_url;
    if (at > 0.2) this.video.currentTime = at;
    if (autoplay || was) this.video.play().catch(() => {});
    this.#downloads(clip);
  }

  #downloads(clip) {
    const links = [["video", "mp4", "Video"], ["srt", "srt", "SRT"], ["vtt", "vtt", "VTT"]];
    $("downloads").replaceChildren(
      ...links
        .filter(([kind]) => clip.result[`${kind}_url`])
        .map(([kind, ending, label]) => downloadLink(clip, kind, ending, label)),
    );
    $("downloads").hidden = false;
  }

  #stopPreview() {
    this.#hls?.destroy();
    this.#hls = null;
    this.#previewing = "";
  }
}

export function downloadLink(clip, kind, ending, label, style = "") {
  const href = kind === "video" ? `/api/v1/clips/${clip.id}/video?download=1` : clip.result[`${kind}_url`];
  const link = el("a", { class: `button ${style}`, href, download: `${clip.id}.${ending}` }, icon("download"), label);
  link.dataset.download = kind;
  link.setAttribute("aria-label", `Download ${label}`);
  return link;
}
