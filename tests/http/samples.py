"""What the tests of /v1/messages ask, by hand and through the anthropic package."""
DISTANCE = {"name": "get_distance", "description": "Get the distance between two cities",
            "input_schema": {"type": "object", "properties": {
                "start": {"type": "string", "description": "First city"},
                "end": {"type": "string", "description": "Second city"}}, "required": ["start", "end"]}}
FAR = {"role": "user", "content": "How far is it from Bogota to Chicago?"}
THINK = {"type": "enabled", "budget_tokens": 2000}
