# SPDX-License-Identifier: Apache-2.0
"""RFC 2326."""

from __future__ import annotations

from talk import c, lines, s, tcp

URI = "rtsp://cam.example.org/live"
DESCRIBE = c(lines(f"DESCRIBE {URI} RTSP/1.0", "CSeq: 1", "User-Agent: player/2", ""))
OK = s(lines("RTSP/1.0 200 OK", "CSeq: 1", "Server: cam/1", "Content-Length: 3", "") + b"v=0")
PLAY = [c(lines(f"PLAY {URI} RTSP/1.0", "CSeq: 2", "")), s(lines("RTSP/1.0 200 OK", "CSeq: 2", "") + b"$\0\0\4abcd")]
FIELDS = {
    "rtspmethod": "DESCRIBE",
    "rtspuri": URI,
    "rtspstatus": 200,
    "rtspuseragent": "player/2",
    "rtspserver": "cam/1",
}

TALKS = {
    "play": tcp(554, DESCRIBE, OK, *PLAY, layer7="rtsp", **FIELDS),
    "any_port": tcp(10554, DESCRIBE, OK, *PLAY, layer7="rtsp", **FIELDS),
    "unauthorized": tcp(554, DESCRIBE, s(lines("RTSP/1.0 401 no", "")), layer7="rtsp", rtspstatus=401),
    "version_2": tcp(554, c(lines(f"OPTIONS {URI} RTSP/2.0", "")), layer7="rtsp", rtspmethod="OPTIONS"),
    "middle": tcp(554, OK, middle=True, layer7="rtsp", rtspstatus=200),
    "another_version": tcp(10554, c(lines(f"PLAY {URI} RTSP/9.0", ""))),
    "another_status": tcp(10554, s(lines("RTSP/1.0 999 what", ""))),
}
