"""What Paraformer, CosyVoice, Sambert, Qwen and the enrolment of voices share: account, errors, protocol."""
