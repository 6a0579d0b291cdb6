# SPDX-License-Identifier: Apache-2.0
"""nDPI for aicore. `_native` has the protocol as a capsule; aicore finds it by its entry point."""
