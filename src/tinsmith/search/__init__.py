"""Which format each tensor of a model shall have: measured on a text, chosen for a budget.

Needs the extra `train`: the float model runs in torch.
"""
