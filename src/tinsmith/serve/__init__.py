"""An HTTP server with the interfaces of OpenAI, Anthropic and Ollama; each model file has one running batch.

server ─▶ app ─▶ guard ─▶ api/ (a module per interface) ─▶ generate ─▶ prepare ─▶ worker ─▶ runtime's Scheduler

state.py holds what requests share: models, limits, metrics, the constraint compiler.
"""
