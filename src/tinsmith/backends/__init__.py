"""Other runtimes under the face of a Model, as tinsmith.runtime.engine has them, and files in their formats."""
