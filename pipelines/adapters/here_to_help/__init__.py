"""The Here to Help API, which takes residents, their help requests and case notes.

Here: the wire and its answers. Not here: what an answer means, and whether and when to call again.
"""

from pipelines.adapters.certificates import CredentialError
from pipelines.adapters.here_to_help.access import Access
from pipelines.adapters.here_to_help.client import HereToHelp, open_here_to_help
from pipelines.adapters.here_to_help.replies import Reply, StoredRequest

__all__ = [
    "Access",
    "CredentialError",
    "HereToHelp",
    "Reply",
    "StoredRequest",
    "open_here_to_help",
]
