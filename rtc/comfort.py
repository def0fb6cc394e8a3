"""What the customer hears while the avatar says nothing.

Digital silence in place of artificial noise: synthesised voices are silent between their words, so a
noise floor would be heard coming and going. It is sent as ordinary packets, so that the receiver's
jitter buffer and its synchronisation of sound and picture stay warm, and it has a second use: Opus
codes it with a flag that clears what the decoder remembers of the spectrum. A stream of an encoder
that started with the same packet joins on without a sound, and a voice that was cut fades over the
2.5 ms by which packets overlap. docs/benchmarks/playout.md has the measurements.
"""

# RFC 6716: configuration 31 (CELT, full band, 20 ms), mono, one frame; silence flag, padding.
# Three bytes: receivers take packets of one or two bytes for discontinuous transmission.
SILENT_PACKET = b"\xf8\xff\xfe"
COMFORT = (SILENT_PACKET, SILENT_PACKET)  # one frame
