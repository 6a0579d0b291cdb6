# SPDX-License-Identifier: Apache-2.0
"""Layer-7 protocols for aicore. `_native` has one capsule a protocol; aicore finds them by their entry points."""
