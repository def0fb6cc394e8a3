"""The functions that others call. Like the original, this works only where its folder is the current one."""

import copy

import torch
import yaml
from flash_head.pipeline import StandInPipeline

with open("flash_head/configs/infer_params.yaml") as f:  # noqa: PTH123 - the habit that is stood in for
    infer_params = yaml.safe_load(f)


def get_pipeline(world_size, ckpt_dir, model_type, wav2vec_dir):
    pipeline = StandInPipeline(ckpt_dir, model_type, wav2vec_dir)
    latents = infer_params["motion_frames_latent_num"]
    infer_params["motion_frames_num"] = (latents - 1) * pipeline.vae_stride + 1
    infer_params["sample_steps"] = 20 if model_type == "pretrained" else 4
    return pipeline


def get_base_data(pipeline, cond_image_path_or_dir, base_seed, use_face_crop):
    pipeline.prepare_params(
        cond_image_path_or_dir,
        (infer_params["height"], infer_params["width"]),
        infer_params["frame_num"],
        infer_params["motion_frames_num"],
        base_seed,
    )


def get_infer_params():
    return copy.deepcopy(infer_params)


def get_audio_embedding(pipeline, audio_array, audio_start_idx=-1, audio_end_idx=-1):
    heard = pipeline.preprocess_audio(audio_array, infer_params["sample_rate"], infer_params["tgt_fps"])
    if audio_start_idx == -1 or audio_end_idx == -1:
        audio_start_idx, audio_end_idx = 0, len(heard)
    around = torch.arange(audio_start_idx, audio_end_idx)[:, None] + (torch.arange(5) - 2)[None]
    return heard[around.clamp(0, audio_end_idx - 1)][None].contiguous()


def run_pipeline(pipeline, audio_embedding):
    film = pipeline.generate(audio_embedding)
    return (((film + 1) / 2).permute(1, 2, 3, 0).clip(0, 1) * 255).contiguous()
