"""Bytes in, values out: every document that crosses a link or rests on a disk. Opens no file and no socket.

    digest -> chunk -> index -> manifest -> signature (with keyring)      what an artifact is
    topics, request -> frame                                              how its chunks travel
    desired, rollout -> states -> report, presence                        what a device shall run and says it runs
    fingerprint, device_config                                            what a device is and how it is set up

`document` gives all of them the same rules: a format number, a size limit before decoding, no unknown fields.
The layouts, invariants and write order are written down in docs/formats.md; a change here is a change there.
"""
