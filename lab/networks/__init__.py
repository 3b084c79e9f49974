"""Networks: families cut at a stage, necks around the cut, inverters."""
