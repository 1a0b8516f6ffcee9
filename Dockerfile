# docker build -t cascade . && docker run --rm --network none -v "$PWD:/data" cascade segment /data/t2_sag.nii.gz -o /data/levels.nii.gz
# As a BIDS App: docker run --rm --network none -v DATASET:/data:ro -v OUT:/out cascade bids /data /out participant
FROM python:3.11-slim

# torch without CUDA. For a GPU: --build-arg PIP_OPTIONS=
ARG PIP_OPTIONS="--extra-index-url https://download.pytorch.org/whl/cpu"

RUN useradd --create-home --uid 1000 cascade
WORKDIR /opt/cascade
COPY README.md LICENSE setup.cfg pyproject.toml constraints.txt ./
COPY cascade cascade
COPY weights weights
RUN pip install --no-cache-dir ${PIP_OPTIONS} -c constraints.txt ".[dicom,itk]"

USER 1000
WORKDIR /data
ENTRYPOINT ["python", "-m", "cascade"]
CMD ["--help"]
