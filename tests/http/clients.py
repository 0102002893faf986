"""glim serve under the official client libraries. Run by tests/http/clients."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import harness  # noqa: E402
import openai_client  # noqa: E402,F401
import anthropic_client  # noqa: E402,F401
import responses_client  # noqa: E402,F401
import llm_client  # noqa: E402,F401
import described_client  # noqa: E402,F401
import browser  # noqa: E402,F401

sys.exit(harness.main())
