"""Reads a page of metrics from stdin as Prometheus does; prints its families as JSON.

python metrics.py text           in Prometheus's own format
python metrics.py openmetrics    in that of OpenMetrics, whose parser is strict
"""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

families = {"text": text, "openmetrics": openmetrics}[sys.argv[1]](sys.stdin.read())
json.dump(
    [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [[sample.name, sample.labels, sample.value] for sample in family.samples],
        }
        for family in families
    ],
    sys.stdout,
)
