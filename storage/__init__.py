"""Objects: fragments, avatars, uploads and finished videos in any S3-compatible store."""
