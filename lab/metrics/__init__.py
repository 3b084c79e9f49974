"""Metrics: pure functions on tensors, the standard definition and the paper's under different names.

| module | what it measures |
| --- | --- |
| ``pictures`` | standard MSE, PSNR and SSIM per picture, their summary with bootstrap intervals |
| ``intervals`` | the one interval of a share, of a mean and of a paired difference; needs no PyTorch |
| ``authors`` | ``paper_mse``, ``paper_psnr``, ``paper_ssim``: what the paper's tables print |
| ``mine`` | the authors' capped estimator of information, and one that is not capped |
| ``information`` | effective information mean, InfoNCE, and the upper bound by entropy coding |
| ``retrieval`` | finding the right picture in a gallery |
| ``references`` | what one scores without any attack |
| ``cost`` | parameters, file size, memory and latency of an edge |

A number of ``authors`` never stands in the same column as one of ``pictures``.
"""
