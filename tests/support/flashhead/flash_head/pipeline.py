"""A pipeline that draws its portrait with a mouth which opens with the sound, and remembers as the original.

What is drawn depends on everything that continuity hangs on: the mouth moves towards the sound from where
the last film left it (`latent_motion_frames`), and a corner holds numbers of the session's own `generator`.
"""

from pathlib import Path

import cv2
import numpy as np
import torch

EASE = 0.4
CORNER = 16


class StandInPipeline:
    def __init__(self, checkpoint_dir, model_type, wav2vec_dir):
        lite = model_type == "lite"
        folder = {"lite": "Model_Lite", "pro": "Model_Pro", "pretrained": "teacher"}[model_type]
        if not (Path(checkpoint_dir) / folder / "config.json").is_file():
            raise OSError(f"no file named config.json in {checkpoint_dir}/{folder}")
        if not Path(wav2vec_dir).is_dir():
            raise OSError(f"no folder {wav2vec_dir}")
        self.device = "cpu"
        self.vae_stride = 8 if lite else 4
        self.latent_shape = (128, 5, 16, 16) if lite else (16, 9, 64, 64)
        self.drawn = 0

    def prepare_params(self, cond_image_path_or_dir, target_size, frame_num, motion_frames_num, seed):
        place = Path(cond_image_path_or_dir)
        files = sorted(place.glob("*.png")) if place.is_dir() else [place]
        self.frame_num, self.motion_frames_num = frame_num, motion_frames_num
        self.generator = torch.Generator().manual_seed(seed)
        self.cond_image_tensor_dict = {file.stem: _picture(file, target_size) for file in files}
        self.ref_img_latent_dict = {}
        for name in self.cond_image_tensor_dict:
            self.ref_img_latent_dict[name] = torch.zeros(self.latent_shape)
        self.reset_person_name(files[0].stem)

    def reset_person_name(self, person_name=None):
        if person_name in self.cond_image_tensor_dict:
            self.person_name = person_name
        self.original_color_reference = self.cond_image_tensor_dict[self.person_name]
        self.ref_img_latent = self.ref_img_latent_dict[self.person_name]
        self.latent_motion_frames = self.ref_img_latent[:, :1].clone()

    def preprocess_audio(self, speech_array, sr, fps):
        """[frames, 12, 768]: the loudness of each frame, as the original has features of it."""
        frames = int(len(speech_array) * fps / sr)
        loud = np.asarray(speech_array, np.float32)[: frames * (sr // fps)].reshape(frames, -1)
        heard = torch.zeros(frames, 12, 768)
        heard[:, 0, 0] = torch.from_numpy(np.sqrt((loud**2).mean(axis=1)))
        return heard

    def generate(self, audio_embedding):
        """[3, frames, height, width], -1 to 1; the first frames repeat the last ones of the film before."""
        assert audio_embedding.shape == (1, self.frame_num, 5, 12, 768)
        self.drawn += 1
        level = float(self.latent_motion_frames.mean())
        # The picture that is drawn is the one of `ref_img_latent`'s session, whoever was met last.
        portrait = self.original_color_reference
        film = portrait[:, None].repeat(1, self.frame_num, 1, 1)
        height, width = film.shape[-2:]
        for frame in range(self.frame_num):
            if frame >= self.motion_frames_num:
                loud = float(audio_embedding[0, frame, 2, 0, 0])
                level += EASE * (min(1.0, 4 * loud) - level)
            tall = round(level * height / 8)
            film[:, frame, height * 3 // 4 : height * 3 // 4 + tall, width * 2 // 5 : width * 3 // 5] = -1.0
            mark = torch.rand(1, generator=self.generator)
            film[:, frame, :CORNER, :CORNER] = mark * 2 - 1
        self.latent_motion_frames = torch.full((self.latent_shape[0], 1, *self.latent_shape[2:]), level)
        return film


def _picture(file, size):
    """[3, height, width], RGB, -1 to 1, scaled to cover the size."""
    bgr = cv2.imread(str(file))
    scale = max(size[0] / bgr.shape[0], size[1] / bgr.shape[1])
    wide = cv2.resize(bgr, None, fx=scale, fy=scale)
    top, left = (wide.shape[0] - size[0]) // 2, (wide.shape[1] - size[1]) // 2
    rgb = wide[top : top + size[0], left : left + size[1], ::-1].copy()
    return (torch.from_numpy(rgb).float().permute(2, 0, 1) / 255 - 0.5) * 2
