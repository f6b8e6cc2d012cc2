"""An HTTP server for models: OpenAI's, Anthropic's and Ollama's interfaces on one running batch a file.

guard ─▶ app ─▶ api/ (a module for each interface) ─▶ asking ─▶ worker ─▶ runtime's Scheduler
"""
