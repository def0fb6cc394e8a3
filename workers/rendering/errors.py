"""What is wrong with a file that somebody sent."""


class MediaError(ValueError):
    """A file cannot be used; `code` is stable and reaches the client, the message is for people.

    Sound: unreadable_media, no_audio, too_long, too_short, too_large. Pictures: unreadable_image,
    unsupported_image, image_too_large, image_too_small. Videos: as sound, and no_video.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
