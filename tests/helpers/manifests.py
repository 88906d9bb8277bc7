"""The manifests, as their documents."""

import yaml

from helpers import ROOT

MANIFESTS = ROOT / "manifests"


def load(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]
