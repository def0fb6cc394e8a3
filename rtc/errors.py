"""What can be wrong with a peer's wishes."""


class PeerError(Exception):
    """A connection that cannot be made; `code` is for programs, the message for people.

    Codes: `sdp_invalid`, `sdp_too_large`, `sdp_without_video`, `sdp_without_codec`,
    `candidate_invalid`, `candidates_too_many`, `peer_closed`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
