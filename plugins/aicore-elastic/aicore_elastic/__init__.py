# SPDX-License-Identifier: Apache-2.0
"""Flow records into Elasticsearch (`elasticsearch://`) and OpenSearch (`opensearch://`)."""

from __future__ import annotations

from aicore_elastic.adaptor import ElasticsearchAdaptor, OpensearchAdaptor

__all__ = ["ElasticsearchAdaptor", "OpensearchAdaptor"]
